#!/usr/bin/python3
"""Samples per CPU-second through remote write, durable: augenmass, Prometheus, VictoriaMetrics.

    cargo build --release && benches/peers/write.py [augenmass] [prometheus] [victoria-metrics]

10,000 series of 200 targets, 300 instants, protocol 1.0, 2,000 samples in a request, two connections; all
bodies are made beforehand and are the same for all. SERIES, STEPS and SHARDS change that: with SHARDS=4 each request
holds a random quarter of the series of many targets, as Prometheus sends them with four shards. CPU is user +
system time of the receiving process until all requests are answered, and in the last column until ten seconds
later too (what is written or merged afterwards). augenmass answers when the samples are on the disk
(fsync); the other two answer before. Needs python3-snappy; a peer that is not there is left out.
"""
import bench, http.client, os, random, struct, sys, threading, time, urllib.request, zlib
import snappy

SERIES, STEPS = int(os.environ.get('SERIES', 10000)), int(os.environ.get('STEPS', 300))
SHARDS, REPEAT = int(os.environ.get('SHARDS', 1)), int(os.environ.get('REPEAT', 2))
BATCH, CONNECTIONS, EVERY = 2000, 2, 15000


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(tag, data):
    return bytes([tag]) + varint(len(data)) + data


LE = ['0.005', '0.01', '0.025', '0.05', '0.1', '0.25', '0.5', '1', '2.5', '5', '+Inf']


def names(target):
    """50 series of one target, as (name, labels, kind)."""
    base = {'instance': f'host-{target:05d}.example.org', 'job': 'fleet', 'site': f's{target % 40:02d}'}
    out = [('probe_success', {}, 'flag'), ('probe_duration_seconds', {}, 'noise')]
    out += [('probe_http_duration_seconds', {'phase': p}, 'noise') for p in ('resolve', 'connect', 'tls', 'processing', 'transfer')]
    out += [('probe_http_status_code', {}, 'same'), ('probe_ssl_earliest_cert_expiry', {}, 'same')]
    out += [('http_requests_total', {'method': m, 'code': c}, 'count') for m in ('GET', 'POST', 'PUT') for c in ('200', '404', '500')]
    out += [('http_request_duration_seconds_bucket', {'le': b}, 'count') for b in LE]
    out += [('http_request_duration_seconds_sum', {}, 'noise'), ('http_request_duration_seconds_count', {}, 'count')]
    out += [(m, {'ifIndex': str(k), 'ifName': f'eth{k}'}, 'large') for m in ('ifHCInOctets', 'ifHCOutOctets') for k in range(4)]
    out += [('ifOperStatus', {'ifIndex': str(k), 'ifName': f'eth{k}'}, 'same') for k in range(4)]
    out += [('printer_toner_level', {'color': c}, 'gauge') for c in ('black', 'cyan', 'magenta', 'yellow')]
    out += [('postfix_queue_size', {}, 'gauge'), ('node_temperature_celsius', {}, 'tenth'), ('node_load1', {}, 'tenth')]
    return [(n, {**base, **more}, kind) for n, more, kind in out]


def bodies():
    rng = random.Random(7)
    heads, kinds = [], []
    for target in range(SERIES // 50):
        for name, labels, kind in names(target):
            pairs = sorted({'__name__': name, **labels}.items())
            heads.append(b''.join(field(10, field(10, a.encode()) + field(18, b.encode())) for a, b in pairs))
            kinds.append(kind)
    value = [rng.randrange(1000) * 1.0 for _ in heads]
    start = (int(time.time()) - STEPS * EVERY // 1000) * 1000
    shards = [[n for n in range(len(heads)) if SHARDS == 1 or zlib.crc32(b'%d' % n) % SHARDS == s] for s in range(SHARDS)]
    queues, out = [[] for _ in shards], [[] for _ in range(CONNECTIONS)]
    body = lambda items: snappy.compress(b''.join(field(10, heads[n] + sample) for n, sample in items))
    for step in range(STEPS):
        at = b'\x10' + varint(start + step * EVERY)
        for n, kind in enumerate(kinds):
            if kind == 'noise':
                value[n] = round(rng.random(), 9)
            elif kind == 'count':
                value[n] += rng.randrange(200) if rng.random() < .6 else 0
            elif kind == 'large':
                value[n] += rng.randrange(50_000_000)
            elif kind == 'gauge':
                value[n] = max(0.0, value[n] + rng.randrange(5) - 2)
            elif kind == 'tenth':
                value[n] = round(value[n] + rng.random() - .5, 1)
            elif kind == 'flag':
                value[n] = 1.0
        for s, members in enumerate(shards):
            queues[s] += [(n, field(18, b'\x09' + struct.pack('<d', value[n]) + at)) for n in members]
            # A shard's samples stay in their order on one connection.
            while len(queues[s]) >= BATCH or (step == STEPS - 1 and queues[s]):
                # The first series decides: each series stays on one connection, in its order.
                k = s if SHARDS > 1 else queues[s][0][0] // BATCH
                out[k % CONNECTIONS].append(body(queues[s][:BATCH]))
                queues[s] = queues[s][BATCH:]
    return out


def pump(url, out):
    host, path = url.split('/', 3)[2:]
    errors = []

    def one(mine):
        connection = http.client.HTTPConnection(host)
        for data in mine:
            connection.request('POST', '/' + path, data, {'Content-Encoding': 'snappy', 'Content-Type': 'application/x-protobuf', 'X-Prometheus-Remote-Write-Version': '0.1.0'})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= 300:
                errors.append((answer.status, text[:200]))
    threads = [threading.Thread(target=one, args=(mine,)) for mine in out]
    [t.start() for t in threads]
    [t.join() for t in threads]
    return errors


def start(name, d):
    os.makedirs(d)
    p = bench.port()
    if name == 'augenmass':
        open(d + '/augenmass.yml', 'w').write(bench.owners(1) + bench.targets(['http://127.0.0.1:1/'], ', interval: 4m') + 'storage: {out_of_order_window: 24h}\n')
        return bench.spawn([bench.ours(), '--log', 'warn', 'run', '--config', d + '/augenmass.yml', '--data', d + '/data', '--listen', f'127.0.0.1:{p}'], name), p, '/-/ready'
    program = bench.find(name)
    if not program:
        return None
    if name == 'prometheus':
        open(d + '/prometheus.yml', 'w').write('global: {}\n')
        return bench.spawn([program, f'--config.file={d}/prometheus.yml', f'--storage.tsdb.path={d}/data', f'--web.listen-address=127.0.0.1:{p}', '--web.enable-remote-write-receiver', '--log.level=warn'], name), p, '/-/ready'
    return bench.spawn([program, f'-storageDataPath={d}/data', f'-httpListenAddr=127.0.0.1:{p}', '-loggerLevel=WARN'], name), p, '/health'


def size(folder):
    return sum(os.path.getsize(os.path.join(r, f)) for r, _, fs in os.walk(folder) for f in fs)


def main():
    out = bodies()
    samples = SERIES * STEPS
    wire = sum(len(b) for o in out for b in o) / samples
    print(f'{samples} samples, {sum(map(len, out))} requests, {wire:.1f} bytes each on the wire, load {os.getloadavg()[0]:.1f}')
    bench.row('', 'samples / CPU-s', 'with 10 s after', 'samples / s', 'MiB, disk B/sample')
    for name in sys.argv[1:] or ['augenmass', 'prometheus', 'victoria-metrics']:
        for again in range(REPEAT):
            d = f'{bench.WORK}/{name}-{again}'
            started = start(name, d)
            if not started:
                print(name, 'is not there')
                break
            process, port, path = started
            url = f'http://127.0.0.1:{port}'
            bench.ready(url + path, process)
            before, begun = bench.cpu(process.pid), time.monotonic()
            errors = pump(url + '/api/v1/write', out)
            used, took = bench.cpu(process.pid) - before, time.monotonic() - begun
            memory, disk = bench.rss(process.pid), size(d + '/data') / samples
            time.sleep(10)
            after = bench.cpu(process.pid) - before
            bench.row(name, f'{samples / used:,.0f}', f'{samples / after:,.0f}', f'{samples / took:,.0f}', f'{memory:.0f}, {disk:.2f}', )
            if errors:
                print(f'  {len(errors)} errors, the first: {errors[0]}')
            bench.stop(process)


if __name__ == '__main__':
    bench.run(main)
