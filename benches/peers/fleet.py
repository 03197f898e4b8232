"""Made-up measurements of a fleet, the same in every run: 50 series for each host, and the stores they go to."""
import os, random, struct, subprocess, sys, time, urllib.parse, urllib.request

import bench

BORDERS = ['0.005', '0.01', '0.025', '0.05', '0.1', '0.25', '0.5', '1', '2.5', '5', '+Inf']
PHASES = ['resolve', 'connect', 'tls', 'processing', 'transfer']
COLOURS = ['black', 'cyan', 'magenta', 'yellow']
SITES = 40
TOTAL = ('http_requests_total', 'http_request_duration_seconds_bucket', 'http_request_duration_seconds_sum',
         'http_request_duration_seconds_count', 'ifHCInOctets', 'ifHCOutOctets')


def host(number):
    return f'host-{number:05d}.example.test'


def series(number):
    """(metric, labels) of one host, in the order of `Host.step`."""
    own = {'instance': host(number), 'job': 'fleet', 'site': f's{number % SITES:02d}'}
    out = [('probe_success', {}), ('probe_duration_seconds', {})]
    out += [('probe_http_duration_seconds', {'phase': phase}) for phase in PHASES]
    out += [('probe_http_status_code', {}), ('probe_ssl_earliest_cert_expiry', {})]
    out += [('http_requests_total', {'method': m, 'code': c}) for m in ('GET', 'POST', 'PUT') for c in ('200', '404', '500')]
    out += [('http_request_duration_seconds_bucket', {'le': le}) for le in BORDERS]
    out += [('http_request_duration_seconds_sum', {}), ('http_request_duration_seconds_count', {})]
    out += [(m, {'ifName': f'eth{k}'}) for m in ('ifHCInOctets', 'ifHCOutOctets') for k in range(1, 5)]
    out += [('ifOperStatus', {'ifName': f'eth{k}'}) for k in range(1, 5)]
    out += [('printer_toner_level', {'color': colour}) for colour in COLOURS]
    out += [('postfix_queue_size', {}), ('node_temperature_celsius', {}), ('node_load1', {})]
    assert len(out) == 50
    return [(name, {**own, **labels}) for name, labels in out]


class Host:
    def __init__(self, number):
        r = self.random = random.Random(7_000_021 + number)
        self.base, self.expiry = r.uniform(.02, .4), 1_990_000_000 + r.randrange(10_000_000)
        self.bad = number % 97 == 0
        self.requests = [r.randrange(10**6) for _ in range(9)]
        self.buckets, self.sum = [0] * 11, 0.0
        self.octets = [r.randrange(10**12) for _ in range(8)]
        self.toner = [r.uniform(5, 100) for _ in range(4)]
        self.queue, self.temperature = 0, r.uniform(25, 60)

    def step(self):
        r = self.random.random
        up = 0 if (self.bad and r() < .7) or r() < .001 else 1
        phases = [round(self.base * part * (.8 + .4 * r()), 9) for part in (.02, .1, .25, .5, .13)]
        for k in range(9):
            self.requests[k] += int(r() * 400) if k % 3 == 0 else int(r() * 9) if r() < .3 else 0
        count = int(r() * 200)
        for k, part in enumerate((0, .02, .1, .3, .55, .8, .9, .96, .99, .998, 1)):
            self.buckets[k] += int(count * part + .5)
        self.sum += count * self.base * (.9 + .2 * r())
        for k in range(8):
            self.octets[k] += int(r() * 5e7)
        if r() < .02:
            self.toner = [level - .5 if level > 1 else 100.0 for level in self.toner]
        self.queue = max(0, self.queue + int(r() * 21) - 10)
        self.temperature += r() - .5
        return ([up, round(sum(phases), 9), *phases, 200 if up else 503, self.expiry, *self.requests, *self.buckets,
                 round(self.sum, 9), self.buckets[10], *self.octets, 1, 1, 2, 1, *self.toner, self.queue,
                 round(self.temperature, 1), round(r() * 4, 2)])


def text(labels):
    return '{' + ','.join(f'{name}="{value}"' for name, value in sorted(labels.items())) + '}'


def write(path, hosts, steps, start, every=15):
    """OpenMetrics with times in seconds, series by series; and the same with milliseconds for VictoriaMetrics."""
    values = [[value for one in fleet for value in one.step()] for fleet in [[Host(n) for n in range(hosts)]] for _ in range(steps)]
    families = {}
    for place, (name, labels) in enumerate(one for n in range(hosts) for one in series(n)):
        families.setdefault(name, []).append((place, labels))
    with open(path + '.om', 'w', 1 << 20) as om, open(path + '.vm', 'w', 1 << 20) as vm:
        for name, members in families.items():
            om.write(f'# TYPE {name} unknown\n')
            for place, labels in members:
                key = name + text(labels)
                om.write(''.join(f'{key} {values[k][place]} {start + k * every}\n' for k in range(steps)))
                vm.write(''.join(f'{key} {values[k][place]} {start + k * every}000\n' for k in range(steps)))
        om.write('# EOF\n')


# -- remote write, version 1: protobuf in snappy, both by hand

def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, body):
    return varint(number << 3 | 2) + varint(len(body)) + body


def snappy(body):
    """Literals only: valid, and as large as before."""
    out = bytearray(varint(len(body)))
    for at in range(0, len(body), 65_536):
        part = body[at:at + 65_536]
        out += bytes([61 << 2]) + struct.pack('<H', len(part) - 1) + part
    return bytes(out)


class Writer:
    """Sends one step of all hosts, a number of hosts at a time."""

    def __init__(self, hosts):
        self.hosts = [Host(n) for n in range(hosts)]
        self.labels = []
        for number in range(hosts):
            for name, labels in series(number):
                pairs = sorted({**labels, '__name__': name}.items())
                self.labels.append(b''.join(field(1, field(1, n.encode()) + field(2, v.encode())) for n, v in pairs))

    def bodies(self, at_millis, portion=100):
        stamp = b'\x10' + varint(at_millis)
        values = [value for one in self.hosts for value in one.step()]
        for first in range(0, len(self.hosts), portion):
            places = range(first * 50, min(first + portion, len(self.hosts)) * 50)
            yield snappy(b''.join(field(1, self.labels[p] + field(2, b'\x09' + struct.pack('<d', values[p]) + stamp)) for p in places))


def send(url, body):
    request = urllib.request.Request(url, data=body, method='POST', headers={
        'Content-Type': 'application/x-protobuf', 'Content-Encoding': 'snappy', 'X-Prometheus-Remote-Write-Version': '0.1.0'})
    urllib.request.urlopen(request, timeout=30).read()


# -- stores

class Store:
    """A program with an HTTP API on a free port and a folder of its own."""

    def __init__(self):
        self.port, self.folder = bench.port(), f'{bench.WORK}/{self.name}'
        self.url = f'http://127.0.0.1:{self.port}'
        os.makedirs(self.folder, exist_ok=True)

    def start(self, *more):
        self.process = bench.spawn(self.command() + list(more), self.name)
        bench.ready(self.url + self.health, self.process)
        self.pid = self.process.pid
        return self

    def stop(self):
        bench.stop(self.process)

    def query(self, expr, kind, **parameters):
        path = '/api/v1/query_range' if kind == 'r' else '/api/v1/query'
        return bench.get(f'{self.url}{path}?' + urllib.parse.urlencode({'query': expr, 'nocache': 1, **parameters}), 120)


class Ours(Store):
    name, health = 'augenmass', '/-/ready'

    def load(self, path):
        subprocess.run([bench.ours(), 'import', 'openmetrics', path + '.om', '--data', self.folder + '/data', '--retention', '36500d'],
                       check=True, stdout=subprocess.DEVNULL)

    def configure(self, rules=None):
        shown = f', files: ["{rules}"]' if rules else ''
        open(self.folder + '/augenmass.yml', 'w').write(
            'instance: bench\nowners: {nobody: {notify: [{email: nobody@example.org}]}}\n'
            'notify: {email: {smarthost: "127.0.0.1:9", from: bench@example.org, tls: "off"}}\n'
            f'storage: {{retention: 36500d}}\nrules: {{shipped: false{shown}}}\nservices: {{}}\n')

    def command(self):
        if not os.path.exists(self.folder + '/augenmass.yml'):
            self.configure()
        return [bench.ours(), '--log', 'warn', 'run', '--config', self.folder + '/augenmass.yml', '--data', self.folder + '/data',
                '--listen', f'127.0.0.1:{self.port}']


class Prometheus(Store):
    name, health = 'prometheus', '/-/ready'

    def load(self, path):
        subprocess.run([bench.find('promtool'), 'tsdb', 'create-blocks-from', 'openmetrics', path + '.om', self.folder + '/data'],
                       check=True, stdout=subprocess.DEVNULL)

    def configure(self, rules=None):
        shown = f'rule_files: ["{rules}"]\n' if rules else ''
        open(self.folder + '/prometheus.yml', 'w').write('global: {evaluation_interval: 15s}\n' + shown)

    def command(self):
        if not os.path.exists(self.folder + '/prometheus.yml'):
            self.configure()
        return [bench.find('prometheus'), '--config.file=' + self.folder + '/prometheus.yml', '--storage.tsdb.path=' + self.folder + '/data',
                f'--web.listen-address=127.0.0.1:{self.port}', '--storage.tsdb.retention.time=100y', '--log.level=error',
                '--web.enable-remote-write-receiver']


class VictoriaMetrics(Store):
    name, health = 'victoriametrics', '/health'

    def load(self, path):
        self.start()
        with open(path + '.vm', 'rb') as lines:
            while True:
                part = lines.readlines(16 << 20)
                if not part:
                    break
                request = urllib.request.Request(self.url + '/api/v1/import/prometheus', data=b''.join(part), method='POST')
                urllib.request.urlopen(request, timeout=300).read()
        for path in ('/internal/force_flush', '/internal/force_merge'):
            bench.get(self.url + path, 300)
        time.sleep(5)
        self.stop()

    def configure(self, rules=None):
        self.rules = rules

    def command(self):
        return [bench.find('victoria-metrics', 'victoria-metrics-prod'), '-storageDataPath=' + self.folder + '/data',
                f'-httpListenAddr=127.0.0.1:{self.port}', '-retentionPeriod=100y', '-search.latencyOffset=0s', '-loggerLevel=ERROR',
                '-search.maxUniqueTimeseries=1000000', '-search.disableCache', '-search.maxSamplesPerQuery=2000000000']


def stores():
    """Those that are here; ours first."""
    known = [Ours]
    if bench.find('prometheus') and bench.find('promtool'):
        known.append(Prometheus)
    if bench.find('victoria-metrics', 'victoria-metrics-prod'):
        known.append(VictoriaMetrics)
    wanted = sys.argv[1:]
    return [kind for kind in known if not wanted or kind.name in wanted]
