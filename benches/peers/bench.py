#!/usr/bin/env python3
"""augenmass against the programs it replaces, on the same targets in the same run.

    cargo build --release && benches/peers/bench.py [probes] [stack] [latency]

Needs nginx; blackbox_exporter for `probes`; for `stack` also Prometheus, Alertmanager, snmp_exporter
and snmpsim. A peer that is not there is left out, and the table says so. Programs are looked for in
$AUGENMASS_PEERS, the PATH and Debian's places. CPU is user + system time of the process, memory its
resident set; figures of a busy machine are marked with its load.
"""
import http.client, json, os, random, shutil, signal, socket, socketserver, subprocess, sys, tempfile, threading, time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
HZ = os.sysconf('SC_CLK_TCK')
WORK = tempfile.mkdtemp(prefix='augenmass-bench-')
started = []


def find(*names):
    folders = [os.environ.get('AUGENMASS_PEERS', ''), *os.environ['PATH'].split(':'), '/usr/sbin', '/usr/local/sbin']
    for folder in folders:
        for name in names:
            path = os.path.join(folder, name)
            if folder and os.access(path, os.X_OK):
                return path
    return None


def ours():
    for folder in (os.environ.get('CARGO_TARGET_DIR'), ROOT + '/target', os.path.expanduser('~/.cache/augenmass/target')):
        path = f'{folder}/release/augenmass'
        if folder and os.access(path, os.X_OK):
            return path
    sys.exit('build it first: cargo build --release')


def spawn(argv, name, **more):
    log = open(f'{WORK}/{name}.log', 'wb')
    process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **more)
    started.append(process)
    return process


def stop(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
    if process in started:
        started.remove(process)


def cpu(pid):
    fields = open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / HZ


def rss(pid):
    for line in open(f'/proc/{pid}/status'):
        if line.startswith('VmRSS'):
            return int(line.split()[1]) / 1024
    return 0.0


def forget_peak(pid):
    with open(f'/proc/{pid}/clear_refs', 'w') as refs:
        refs.write('5')


def peak(pid):
    for line in open(f'/proc/{pid}/status'):
        if line.startswith('VmHWM'):
            return int(line.split()[1]) / 1024
    return 0.0


def port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def get(url, timeout=10):
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read().decode()


def ready(url, process, limit=60):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if process.poll() is not None:
            sys.exit(f'{process.args[0]} ended early, see {WORK}')
        try:
            get(url, 2)
            return
        except OSError:
            time.sleep(0.05)
    sys.exit('not ready: ' + url)


def metric(page, name, **labels):
    """Sum of all samples of that name whose labels fit."""
    total, found = 0.0, False
    for line in page.splitlines():
        if line.startswith((name + '{', name + ' ')):
            if all(f'{k}="{v}"' in line for k, v in labels.items()):
                total += float(line.rsplit(' ', 1)[1])
                found = True
    return total if found else None


def row(*cells):
    print('  '.join(str(c).ljust(w) for c, w in zip(cells, (34, 27, 27, 18, 18, 22, 18))), flush=True)


class Nginx:
    """http and https (root, intermediate, leaf, RSA 2048), 5 KiB body."""

    def __init__(self):
        d = self.d = WORK + '/nginx'
        os.makedirs(d + '/www')
        os.chmod(WORK, 0o755)
        self.http, self.https = port(), port()
        random.seed(1)
        open(d + '/www/index.html', 'w').write('<html>' + ''.join(random.choice('abcdefgh \n') for _ in range(5000)) + '</html>')
        open(d + '/v3', 'w').write('[ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n'
                                   '[leaf]\nbasicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n')
        for command in (
            'openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 3650 -subj /CN=bench-root',
            'openssl req -newkey rsa:2048 -nodes -keyout im.key -out im.csr -subj /CN=bench-int',
            'openssl x509 -req -in im.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile v3 -extensions ca -out im.crt',
            'openssl req -newkey rsa:2048 -nodes -keyout leaf.key -out leaf.csr -subj /CN=127.0.0.1',
            'openssl x509 -req -in leaf.csr -CA im.crt -CAkey im.key -CAcreateserial -days 365 -extfile v3 -extensions leaf -out leaf.crt',
        ):
            subprocess.run(command.split(), cwd=d, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        open(d + '/chain.crt', 'w').write(open(d + '/leaf.crt').read() + open(d + '/im.crt').read())
        temp = ''.join(f'{kind}_temp_path {d}/t; ' for kind in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
        user = 'user root; ' if os.getuid() == 0 else ''
        open(d + '/nginx.conf', 'w').write(f'''worker_processes 1; daemon off; pid {d}/pid; error_log {d}/err.log; {user}
events {{ worker_connections 4096; }}
http {{ access_log off; {temp} ssl_session_cache off; ssl_session_tickets off;
server {{ listen 127.0.0.1:{self.http} backlog=4096; root {d}/www; }}
server {{ listen 127.0.0.1:{self.https} ssl backlog=4096; ssl_certificate {d}/chain.crt; ssl_certificate_key {d}/leaf.key; root {d}/www; }} }}''')
        self.start()

    def start(self):
        self.p = spawn([find('nginx') or sys.exit('nginx is needed'), '-p', self.d, '-c', self.d + '/nginx.conf'], 'nginx')
        ready(f'http://127.0.0.1:{self.http}/', self.p)


class Augenmass:
    def __init__(self, config, name):
        d = f'{WORK}/{name}'
        os.makedirs(d)
        self.port = port()
        open(d + '/augenmass.yml', 'w').write(config)
        self.p = spawn([ours(), '--log', 'warn', 'run', '--config', d + '/augenmass.yml', '--data', d + '/data', '--listen', f'127.0.0.1:{self.port}'], name)
        self.url = f'http://127.0.0.1:{self.port}'
        ready(self.url + '/-/ready', self.p)

    def page(self):
        return get(self.url + '/metrics')

    def probes(self):
        return metric(self.page(), 'augenmass_probe_looks_total') or 0


def owners(smtp):
    return f'''owners: {{team: {{notify: [{{email: team@example.org}}]}}}}
notify: {{email: {{smarthost: "127.0.0.1:{smtp}", from: orwell@example.org, tls: "off"}}}}
alerting: {{group_interval: 1s}}
'''


def targets(urls, more=''):
    return 'services:\n  page:\n    owner: team\n    probes:\n' + ''.join(f'      - http: {{url: "{u}", name: "t{i:03d}"{more}}}\n' for i, u in enumerate(urls))


class Sink(socketserver.ThreadingTCPServer):
    """Takes mail and remembers when DATA came."""
    allow_reuse_address, daemon_threads = True, True

    def __init__(self):
        self.data_at = []
        super().__init__(('127.0.0.1', 0), Session)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        say = lambda line: self.wfile.write(line + b'\r\n')
        say(b'220 sink')
        while line := self.rfile.readline(4096):
            verb = line[:4].upper()
            if verb == b'DATA':
                self.server.data_at.append(time.time())
                say(b'354 go')
                while (part := self.rfile.readline(1 << 16)) and part != b'.\r\n':
                    pass
                say(b'250 ok')
            elif verb == b'QUIT':
                say(b'221 bye')
                return
            else:
                say(b'250 ok')


# ---- probes: CPU per 1,000 ------------------------------------------------------------------------

def blackbox(nginx):
    binary = find('prometheus-blackbox-exporter', 'blackbox_exporter')
    if not binary:
        return None
    p = port()
    open(WORK + '/blackbox.yml', 'w').write(f'''modules:
  http: {{prober: http, timeout: 10s, http: {{preferred_ip_protocol: ip4}}}}
  https: {{prober: http, timeout: 10s, http: {{preferred_ip_protocol: ip4, fail_if_not_ssl: true, tls_config: {{ca_file: {nginx.d}/ca.crt}}}}}}
''')
    process = spawn([binary, f'--config.file={WORK}/blackbox.yml', f'--web.listen-address=127.0.0.1:{p}', '--log.level=error'], 'blackbox')
    ready(f'http://127.0.0.1:{p}/-/healthy', process)
    return process, p


def ask(p, path, count):
    connection = http.client.HTTPConnection('127.0.0.1', p, timeout=20)
    for _ in range(count):
        connection.request('GET', path)
        body = connection.getresponse().read()
        assert b'probe_success 1' in body, body[-2000:]


def measure_blackbox(process, p, module, target, count):
    """As fast as four clients can ask, one after the other: CPU-seconds for 1,000, and how many a second that are."""
    path = f'/probe?module={module}&target={target}'
    ask(p, path, 50)
    before, began = cpu(process.pid), time.monotonic()
    threads = [threading.Thread(target=ask, args=(p, path, count // 4)) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    asked = count // 4 * 4
    return (cpu(process.pid) - before) / asked * 1000, asked / (time.monotonic() - began)


def measure_blackbox_paced(process, p, module, target, seconds=15, rate=500, at_once=5):
    """Asked as a Prometheus with 500 targets and an interval of 1 s would: evenly spread. The same pace as ours."""
    path = f'/probe?module={module}&target={target}'
    ask(p, path, 50)
    done = [0] * at_once

    def one(i):
        connection = http.client.HTTPConnection('127.0.0.1', p, timeout=20)
        due = time.monotonic()
        end = due + seconds
        while due < end:
            connection.request('GET', path)
            body = connection.getresponse().read()
            assert b'probe_success 1' in body, body[-2000:]
            done[i] += 1
            due += at_once / rate
            time.sleep(max(0, due - time.monotonic()))
    before, began = cpu(process.pid), time.monotonic()
    threads = [threading.Thread(target=one, args=(i,)) for i in range(at_once)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    reached = sum(done) / (time.monotonic() - began)
    assert reached > 0.95 * rate, f'only {reached:.0f} a second'
    return (cpu(process.pid) - before) / sum(done) * 1000


def measure_ours(scheme, nginx, count=500, seconds=20):
    url = f'{scheme}://127.0.0.1:{getattr(nginx, scheme)}/'
    tls = f', tls: {{ca_file: {nginx.d}/ca.crt}}' if scheme == 'https' else ''
    more = f'{tls}, interval: 1s, timeout: 1s, expect: {{tls: {str(scheme == "https").lower()}}}'
    us = Augenmass(owners(25) + 'rules: {shipped: false}\n' + targets([url] * count, more), f'ours-{scheme}-{count}')
    time.sleep(5)
    c0, n0 = cpu(us.p.pid), us.probes()
    time.sleep(seconds)
    c1, n1 = cpu(us.p.pid), us.probes()
    good, all_of_them = metric(us.page(), 'probe_success'), count
    assert good == all_of_them, f'{good} of {all_of_them} targets are up'
    memory = rss(us.p.pid)
    stop(us.p)
    return (c1 - c0) / (n1 - n0) * 1000, (n1 - n0) / seconds, memory


def bench_probes():
    """Both at the same pace: what a look costs depends on how often a program is woken for one."""
    nginx = Nginx()
    peer = blackbox(nginx)
    print('\n## CPU-seconds per 1,000 probes, one target for each look a second')
    row('', 'blackbox_exporter', 'augenmass', 'ratio', 'allowed', 'our MiB')

    def compare(name, theirs, allowed, scheme, count):
        mine, rate, memory = measure_ours(scheme, nginx, count)
        ratio = f'{mine / theirs:.3f}' if theirs else 'peer not installed'
        row(f'{name} ({rate:.0f}/s)', f'{theirs:.3f}' if theirs else '-', f'{mine:.4f}', ratio, f'{allowed:.3f}', f'{memory:.1f}')

    target = {scheme: f'{scheme}://127.0.0.1:{getattr(nginx, scheme)}/' for scheme in ('http', 'https')}
    theirs = measure_blackbox_paced(*peer, 'http', target['http']) if peer else None
    compare('http', theirs, 1 / 5, 'http', 500)
    theirs, rate = measure_blackbox(*peer, 'http', target['http'], 12000) if peer else (None, 1500)
    compare('http, as fast as blackbox can', theirs, 1 / 5, 'http', round(rate))
    # Few handshakes a second are all that blackbox_exporter does on two cores beside nginx.
    theirs, rate = measure_blackbox(*peer, 'https', target['https'], 4000) if peer else (None, 500)
    compare('https, as fast as blackbox can', theirs, 1 / 3, 'https', round(rate))
    if peer:
        stop(peer[0])
    stop(nginx.p)


# ---- stack: 500 web pages and 20 printers ---------------------------------------------------------

SNMPREC = ''.join(f'{oid}|{kind}|{value}\n' for oid, kind, value in sorted(
    [('1.3.6.1.2.1.1.1.0', 4, 'Bench printer'), ('1.3.6.1.2.1.1.2.0', 6, '1.3.6.1.4.1.8072.3.2.10'), ('1.3.6.1.2.1.1.3.0', 67, '123456'),
     ('1.3.6.1.2.1.25.3.2.1.2.1', 6, '1.3.6.1.2.1.25.3.1.5'), ('1.3.6.1.2.1.25.3.2.1.3.1', 4, 'Bench 9000'), ('1.3.6.1.2.1.25.3.2.1.5.1', 2, '2'),
     ('1.3.6.1.2.1.25.3.5.1.1.1', 2, '3'), ('1.3.6.1.2.1.25.3.5.1.2.1', '4x', '00'), ('1.3.6.1.2.1.43.10.2.1.4.1.1', 65, '654321')]
    + [(f'1.3.6.1.2.1.43.11.1.1.{c}.1.{i}', k, v) for i in range(1, 9) for c, k, v in
       ((2, 2, '1'), (3, 2, '0'), (4, 2, '3'), (5, 2, '3'), (6, 4, f'Toner cartridge {i}'), (7, 2, '19'), (8, 2, '100'), (9, 2, str(20 + 9 * i)))],
    key=lambda r: [int(n) for n in r[0].split('.')]))

RULES = ['probe_success == 0', 'probe_duration_seconds > {}', 'avg_over_time(probe_duration_seconds[5m]) > {}', 'probe_http_status_code >= 50{}',
         'max_over_time(probe_duration_seconds[5m]) > {}', 'probe_http_content_length > {}e8', 'printer_supply_remaining_ratio < 0.0{}',
         'avg by (job) (probe_success) < 0.{}', 'absent(up{{job="web{}"}})', 'sum by (service) (probe_confirmed_down) > 1000{}']
PEER_RULES = [r.replace('printer_supply_remaining_ratio', 'prtMarkerSuppliesLevel / prtMarkerSuppliesMaxCapacity').replace('probe_confirmed_down', '(1 - probe_success)') for r in RULES]


def rule_file(path, rules):
    text = 'groups:\n'
    for g in range(5):
        text += f'- name: g{g}\n  rules:\n'
        for k, rule in enumerate(rules):
            text += f"  - {{alert: R{g}_{k}, expr: '{rule.format(g + 2)}', for: 1m, annotations: {{summary: '{{{{ $labels.instance }}}} {{{{ $value }}}}'}}}}\n"
    open(path, 'w').write(text)


def printers(count, snmp_port):
    binary = find('snmpsim-command-responder')
    if not binary:
        return None
    d = WORK + '/snmpsim'
    os.makedirs(d)
    open(d + '/public.snmprec', 'w').write(SNMPREC)
    arguments = [f'--agent-udpv4-endpoint=127.0.1.{i}:{snmp_port}' for i in range(1, count + 1)]
    user = ['--process-user=nobody', '--process-group=nogroup'] if os.getuid() == 0 else []
    os.chmod(d, 0o777)
    return spawn([binary, '--data-dir=' + d, '--cache-dir=' + d + '/cache', *user, *arguments], 'snmpsim')


def peer_stack(nginx, snmp_port, with_printers):
    names = dict(prometheus=['prometheus'], alertmanager=['prometheus-alertmanager', 'alertmanager'],
                 blackbox=['prometheus-blackbox-exporter', 'blackbox_exporter'], snmp=['prometheus-snmp-exporter', 'snmp_exporter'])
    paths = {k: find(*v) for k, v in names.items()}
    snmp_yml = os.environ.get('SNMP_YML')
    if not paths['prometheus'] or not paths['alertmanager'] or not paths['blackbox']:
        return None
    d = WORK + '/stack'
    os.makedirs(d)
    running = {}
    running['blackbox'], bb = blackbox(nginx)
    am, prom = port(), port()
    open(d + '/am.yml', 'w').write('route: {receiver: none}\nreceivers: [{name: none}]\n')
    running['alertmanager'] = spawn([paths['alertmanager'], f'--config.file={d}/am.yml', f'--storage.path={d}/am', f'--web.listen-address=127.0.0.1:{am}', '--cluster.listen-address=', '--log.level=error'], 'alertmanager')
    relabel = lambda to: f"  relabel_configs:\n  - {{source_labels: [__address__], target_label: __param_target}}\n  - {{source_labels: [__param_target], target_label: instance}}\n  - {{target_label: __address__, replacement: '127.0.0.1:{to}'}}\n"
    rule_file(d + '/rules.yml', PEER_RULES)
    config = f"global: {{scrape_interval: 15s, evaluation_interval: 15s}}\nrule_files: [{d}/rules.yml]\nalerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{am}']}}]}}]}}\nscrape_configs:\n"
    web = ', '.join(f"'http://127.0.0.1:{nginx.http}/?t={i:03d}'" for i in range(500))
    config += f"- job_name: web\n  metrics_path: /probe\n  params: {{module: [http]}}\n  static_configs:\n  - targets: [{web}]\n" + relabel(bb)
    if with_printers and paths['snmp'] and snmp_yml:
        sp = port()
        # Module files come without credentials.
        open(d + '/auths.yml', 'w').write('auths: {public_v2: {community: public, version: 2}}\n')
        running['snmp'] = spawn([paths['snmp'], '--config.file=' + snmp_yml, f'--config.file={d}/auths.yml', f'--web.listen-address=127.0.0.1:{sp}', '--log.level=error'], 'snmp_exporter')
        devices = ', '.join(f"'127.0.1.{i}:{snmp_port}'" for i in range(1, 21))
        config += f"- job_name: printer\n  metrics_path: /snmp\n  params: {{module: [printer_mib], auth: [public_v2]}}\n  static_configs:\n  - targets: [{devices}]\n" + relabel(sp)
    open(d + '/prometheus.yml', 'w').write(config)
    running['prometheus'] = spawn([paths['prometheus'], f'--config.file={d}/prometheus.yml', f'--storage.tsdb.path={d}/tsdb', f'--web.listen-address=127.0.0.1:{prom}', '--log.level=warn'], 'prometheus')
    ready(f'http://127.0.0.1:{prom}/-/ready', running['prometheus'])
    for name, process in running.items():
        assert process.poll() is None, f'{name} ended early'
    return running


def our_stack(nginx, snmp_port, with_printers):
    rule_file(WORK + '/bench-rules.yml', RULES)
    text = owners(25) + f'rules: {{files: [{WORK}/bench-rules.yml]}}\n'
    text += targets([f'http://127.0.0.1:{nginx.http}/?t={i:03d}' for i in range(500)], ', interval: 15s')
    if with_printers:
        text += ''.join(f'      - printer: {{host: 127.0.1.{i}, port: {snmp_port}, interval: 15s}}\n' for i in range(1, 21))
    return {'augenmass': Augenmass(text, 'ours-stack').p}


def bench_stack(warm=int(os.environ.get('WARM', 90)), window=int(os.environ.get('WINDOW', 120))):
    nginx, snmp_port = Nginx() if not os.path.exists(WORK + '/nginx') else None, port()
    agent = printers(20, snmp_port)
    print(f'\n## 500 http targets{" and 20 printers" if agent else " (snmpsim not installed: no printers)"} at 15 s, 50 rules')
    row('', 'MiB, the most in the window', '% of a core', 'share of MiB', 'share of CPU')
    sums = {}
    for name, make in (('peers', peer_stack), ('augenmass', our_stack)):
        running = make(nginx, snmp_port, agent is not None)
        if running is None:
            row(name, 'not installed')
            continue
        time.sleep(warm)
        c0 = {k: cpu(p.pid) for k, p in running.items()}
        memory = dict.fromkeys(running, 0)
        for _ in range(window):
            time.sleep(1)
            memory = {k: max(memory[k], rss(p.pid)) for k, p in running.items()}
        use = {k: (cpu(p.pid) - c0[k]) / window * 100 for k, p in running.items()}
        for k in running:
            row('  ' + k, f'{memory[k]:.1f}', f'{use[k]:.2f}')
        sums[name] = sum(memory.values()), sum(use.values())
        if name == 'augenmass' and 'peers' in sums:
            row(name, f'{sums[name][0]:.1f}', f'{sums[name][1]:.2f}', f'{sums[name][0] / sums["peers"][0]:.3f} (<= 0.125)', f'{sums[name][1] / sums["peers"][1]:.3f} (<= 0.25)')
        else:
            row(name, f'{sums[name][0]:.1f}', f'{sums[name][1]:.2f}')
        [stop(p) for p in running.values()]
    if agent:
        stop(agent)
    stop(nginx.p)


# ---- latency: from the confirming failure to DATA -------------------------------------------------

def bench_latency(cycles=3):
    # More outages within an hour would be damped as flapping.
    sink, nginx = Sink(), Nginx()
    text = owners(sink.server_address[1])
    text += targets([f'http://127.0.0.1:{nginx.http}/'], ', interval: 2s, timeout: 1s, confirm: {tries: 3, every: 1s}')
    us = Augenmass(text, 'ours-latency')
    print('\n## From the confirming failure to SMTP DATA')
    chance, delays = random.Random(11), []
    # After a start nobody is told before every rule was evaluated once: 15 s.
    time.sleep(16)
    for _ in range(cycles):
        time.sleep(chance.uniform(4, 7))
        seen = len(sink.data_at)
        stop(nginx.p)
        confirmed = None
        end = time.time() + 60
        while len(sink.data_at) == seen and time.time() < end:
            if confirmed is None and metric(us.page(), 'probe_confirmed_down') == 1:
                confirmed = time.time()
            time.sleep(0.01)
        assert len(sink.data_at) > seen, 'no mail within 60 s'
        # The page is looked at every 10 ms, so a mail may be seen before the confirmation is.
        delays.append(max(0.0, sink.data_at[seen] - (confirmed or sink.data_at[seen])))
        nginx.start()
        seen = len(sink.data_at)
        if len(delays) == cycles:
            break
        while len(sink.data_at) == seen and time.time() < end + 60:
            time.sleep(0.05)
    row('augenmass', f'mean {sum(delays) / cycles:.3f} s', f'max {max(delays):.3f} s', 'allowed 1 s')
    stop(us.p)
    stop(nginx.p)


def run(work):
    """Does the work, and leaves no process and (without KEEP) no file behind; its result is the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        code = work()
    finally:
        for process in list(started):
            stop(process)
        if not os.environ.get('KEEP'):
            shutil.rmtree(WORK, ignore_errors=True)
    sys.exit(code or 0)


def main():
    print(f'load before: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores')
    for name in sys.argv[1:] or ['probes', 'stack', 'latency']:
        shutil.rmtree(WORK + '/nginx', ignore_errors=True)
        {'probes': bench_probes, 'stack': bench_stack, 'latency': bench_latency}[name]()
    print(f'load after: {os.getloadavg()[0]:.2f}')


if __name__ == '__main__':
    run(main)
