#!/usr/bin/env python3
"""augenmass against a real Alertmanager: the same alertmanager.yml, the same alerts, in one run.

    cargo build --release && benches/peers/alerts.py [ALERTS [GROUPS]]

10,000 alerts in 500 groups come in through API v2 and go to a webhook and to an SMTP server; then
the same alerts are sent again each minute. CPU is user + system time of the process, memory its
resident set: before the alerts (when the program has run for WARM=20 seconds), its peak while they are
told, and a second after all was told. `CURVE=1` adds 1,000 to
100,000 alerts, plain, with 1,000 silences, and with alerts that inhibit all others of their sites (ours
only). `ONLY=augenmass` leaves Alertmanager out.
"""
import http.server, json, os, re, sys, threading, time, urllib.request

from bench import WORK, cpu, find, forget_peak, get, ours, peak, port, ready, rss, run, spawn, stop
import socketserver

WARM = int(os.environ.get('WARM', 20))

FILE = """global: {{smtp_smarthost: '127.0.0.1:{smtp}', smtp_from: 'am@example.org', smtp_require_tls: false, smtp_hello: localhost}}
route: {{receiver: all, group_by: [alertname, site], group_wait: 5s, group_interval: 1m, repeat_interval: 4h}}
receivers:
- name: all
  webhook_configs: [{{url: 'http://127.0.0.1:{hook}/hook', send_resolved: true}}]
  email_configs: [{{to: 'ops@example.org', send_resolved: true}}]
inhibit_rules: [{{source_matchers: ['severity="critical"'], target_matchers: ['severity="page"'], equal: [site]}}]
"""


class Mail(socketserver.StreamRequestHandler):
    def handle(self):
        say = lambda line: self.wfile.write(line + b'\r\n')
        say(b'220 sink')
        while line := self.rfile.readline(4096):
            verb = line[:4].upper()
            if verb == b'DATA':
                say(b'354 go')
                text = b''
                while (part := self.rfile.readline(1 << 20)) and part != b'.\r\n':
                    text += part
                say(b'250 ok')
                self.server.sink.mail()
            elif verb == b'QUIT':
                say(b'221 bye')
                return
            else:
                say(b'250 ok')


class Hook(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        self.send_response(200)
        self.send_header('Content-Length', '0')
        self.end_headers()
        self.server.sink.hook(json.loads(body))

    def log_message(self, *_):
        pass


class Sink:
    """Counts mails, calls, and the alerts that were seen at the webhook."""

    def __init__(self):
        self.lock = threading.Lock()
        self.mails, self.calls, self.seen, self.last = 0, 0, set(), 0.0
        socketserver.ThreadingTCPServer.allow_reuse_address = True
        socketserver.ThreadingTCPServer.request_queue_size = 256
        http.server.ThreadingHTTPServer.request_queue_size = 256
        self.smtp = socketserver.ThreadingTCPServer(('127.0.0.1', 0), Mail)
        self.http = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Hook)
        for server in (self.smtp, self.http):
            server.sink, server.daemon_threads = self, True
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def mail(self):
        with self.lock:
            self.mails, self.last = self.mails + 1, time.time()

    def hook(self, body):
        with self.lock:
            self.calls, self.last = self.calls + 1, time.time()
            # Alerts about the program itself have none.
            self.seen.update(alert['labels']['aid'] for alert in body['alerts'] if 'aid' in alert['labels'])

    def config(self):
        return FILE.format(smtp=self.smtp.server_address[1], hook=self.http.server_address[1])


def stamp(t):
    return time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(t)) + '.000Z'


def post(url, count, groups, began, ends, sources=False):
    for first in range(0, count, 250):
        alerts = [dict(labels=dict(alertname=f'G{i % groups:03d}', site=f's{i % groups % 40:02d}', instance=f'host-{i:06d}.example.test', severity='critical' if sources and i % 400 == 0 else 'page', job='fleet', aid=str(i)),
                       annotations=dict(summary=f'host-{i:06d} does not answer', runbook='https://wiki.example.test/x'),
                       startsAt=stamp(began), endsAt=stamp(ends), generatorURL='http://127.0.0.1:9090/graph?g0.expr=x')
                  for i in range(first, min(count, first + 250))]
        request = urllib.request.Request(url + '/api/v2/alerts', json.dumps(alerts).encode(), {'Content-Type': 'application/json'})
        urllib.request.urlopen(request, timeout=60).read()


def silence(url, count):
    for i in range(count):
        body = dict(matchers=[dict(name='instance', value=f'gone-{i}.*', isRegex=i % 2 == 0, isEqual=True)], startsAt=stamp(time.time()),
                    endsAt=stamp(time.time() + 3600), createdBy='bench', comment='bench')
        request = urllib.request.Request(url + '/api/v2/silences', json.dumps(body).encode(), {'Content-Type': 'application/json'})
        urllib.request.urlopen(request, timeout=60).read()


def start(name, sink):
    folder = f'{WORK}/{name}-{port()}'
    os.makedirs(folder)
    open(folder + '/alertmanager.yml', 'w').write(sink.config())
    at = port()
    url = f'http://127.0.0.1:{at}'
    if name == 'augenmass':
        # As Alertmanager: no rules of one's own.
        open(folder + '/augenmass.yml', 'w').write('rules: {shipped: false}\n')
        argv = [ours(), '--log', 'error', 'run', '--config', folder + '/augenmass.yml', '--alertmanager', folder + '/alertmanager.yml', '--data', folder + '/data', '--listen', f'127.0.0.1:{at}']
    else:
        program = find('alertmanager', 'prometheus-alertmanager')
        if program is None:
            return None, url
        argv = [program, f'--config.file={folder}/alertmanager.yml', f'--storage.path={folder}/data', f'--web.listen-address=127.0.0.1:{at}', '--cluster.listen-address=', '--log.level=error']
    process = spawn(argv, os.path.basename(folder))
    ready(url + '/-/ready', process)
    time.sleep(WARM)
    return process, url


def told(count, groups, sources):
    """How many alerts are told, in how many groups."""
    down = {i % groups % 40 for i in range(0, count, 400)} if sources else set()
    heard = [i for i in range(count) if i % groups % 40 not in down or i % 400 == 0]
    return len(heard), len({i % groups for i in heard})


def measure(name, count, groups, rounds, silences=0, sources=False):
    sink = Sink()
    process, url = start(name, sink)
    if process is None:
        print(f'{name}: not there')
        return
    silence(url, silences)
    alerts, messages = told(count, groups, sources)
    forget_peak(process.pid)
    before, began, idle = cpu(process.pid), time.time(), rss(process.pid)
    post(url, count, groups, began, began + 600, sources)
    posted = time.time() - began
    while time.time() - began < 180 and (len(sink.seen) < alerts or sink.mails < messages):
        time.sleep(0.1)
    took = sink.last - began
    time.sleep(1)
    print(f'{name:14} {count:7} alerts {groups:6} groups {silences:5} silences{", inhibition" if sources else ""}: cpu {cpu(process.pid) - before:6.2f} s  memory {rss(process.pid):6.1f} MiB (before {idle:.1f}, peak {peak(process.pid):.1f})  '
          f'posted in {posted:5.1f} s, all told after {took:5.1f} s ({len(sink.seen)} alerts, {sink.calls} calls, {sink.mails} mails)', flush=True)
    if rounds:
        before, calls, mails, start_at = cpu(process.pid), sink.calls, sink.mails, time.time()
        for _ in range(rounds):
            at = time.time()
            post(url, count, groups, began, at + 600)
            time.sleep(max(0, 60 - (time.time() - at)))
        used = (cpu(process.pid) - before) / (time.time() - start_at)
        print(f'{name:14} {count:7} alerts sent again each minute: {used * 100:5.2f} % of a core, memory {rss(process.pid):6.1f} MiB (peak {peak(process.pid):.1f}), '
              f'{sink.calls - calls} further calls, {sink.mails - mails} further mails', flush=True)
    stop(process)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    groups = int(sys.argv[2]) if len(sys.argv) > 2 else 500
    rounds = int(os.environ.get('ROUNDS', 2))
    print('load', ' '.join(open('/proc/loadavg').read().split()[:3]))
    for name in os.environ.get('ONLY', 'alertmanager augenmass').split():
        measure(name, count, groups, rounds)
    if os.environ.get('CURVE'):
        for count in (1_000, 3_000, 10_000, 30_000, 100_000):
            measure('augenmass', count, count // 20, 0)
            measure('augenmass', count, count // 20, 0, silences=1_000)
            measure('augenmass', count, count // 20, 0, sources=True)


if __name__ == '__main__':
    run(main)
