#!/usr/bin/env python3
"""CPU for a round of rules: augenmass, Prometheus, and VictoriaMetrics with vmalert.

    cargo build --release && benches/peers/rules.py [augenmass] [prometheus] [victoriametrics]

2,000 alerting and 500 recording rules in groups of 50, each 15 s, over 100,000 series (HOSTS=2000 of 50) that come by
remote write each 15 s. The stores run one after the other: WARM seconds of samples, WINDOW seconds without rules, SETTLE
seconds in which alerts begin to fire, WINDOW seconds with rules. What a round costs is the difference, for 15 s.
"""
import json, os, threading, time

import bench, fleet

HOSTS = int(os.environ.get('HOSTS', 2000))
ALERTS, RECORDS = int(os.environ.get('ALERTS', 2000)), int(os.environ.get('RECORDS', 500))
WARM, WINDOW = int(os.environ.get('WARM', 330)), int(os.environ.get('WINDOW', 90))
# What fires is told in this time: messages, with their plots, are no part of a round.
SETTLE = int(os.environ.get('SETTLE', 150))


def alert(number):
    site = f'site="s{number // 10 % fleet.SITES:02d}"'
    one, v = f'instance="{fleet.host(number * 37 % HOSTS)}"', number // 10 / 1000
    return [
        f'probe_success{{{one}}} == 0',
        f'probe_duration_seconds{{{site}}} > {.3 + v:g}',
        f'avg_over_time(probe_duration_seconds{{{site}}}[5m]) > {.36 + v:g}',
        f'rate(http_requests_total{{{site},code="500"}}[5m]) > {.4 + v:g}',
        f'sum by (instance) (rate(http_requests_total{{{site},code="500"}}[5m])) / sum by (instance) (rate(http_requests_total{{{site}}}[5m])) > {.05 + v:g}',
        f'histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket{{{site}}}[5m]))) > {4 + v:g}',
        f'absent(probe_success{{{one}}})',
        f'(probe_ssl_earliest_cert_expiry{{{site}}} - time()) / 86400 < {-1000 - v:g}',
        f'max_over_time(postfix_queue_size{{{site}}}[10m]) > {400 + v:g}',
        f'avg by (instance) (printer_toner_level{{{site}}}) < {1 + v:g}',
    ][number % 10]


def record(number):
    site = f'site="s{number // 5 % fleet.SITES:02d}"'
    return [
        f'sum by (instance) (rate(http_requests_total{{{site}}}[5m]))',
        f'avg by (site) (probe_duration_seconds{{{site}}})',
        f'sum by (site, le) (rate(http_request_duration_seconds_bucket{{{site}}}[5m]))',
        f'avg by (instance) (avg_over_time(probe_success{{{site}}}[5m]))',
        f'sum by (instance) (rate(ifHCInOctets{{{site}}}[5m]) * 8 + on (instance, ifName) rate(ifHCOutOctets{{{site}}}[5m]) * 8)',
    ][number % 5]


def rule_file(path):
    lines = ['groups:']
    for kind, count in (('alert', ALERTS), ('record', RECORDS)):
        for first in range(0, count, 50):
            lines.append(f'- name: {kind}-{first // 50}\n  interval: 15s\n  rules:')
            for n in range(first, min(first + 50, count)):
                if kind == 'record':
                    lines.append(f"  - record: bench:r{n % 5}:i{n // 5 // fleet.SITES}\n    expr: '{record(n)}'")
                else:
                    lines.append(f"  - alert: A{n:04d}\n    expr: '{alert(n)}'\n    for: 1m\n    labels: {{severity: page}}\n"
                                 "    annotations: {summary: '{{ $labels.instance }} value {{ $value | humanize }}'}")
    open(path, 'w').write('\n'.join(lines) + '\n')


class Feed(threading.Thread):
    """Writes all series each 15 s, until told to stop."""

    def __init__(self, store, writer):
        super().__init__(daemon=True)
        self.url, self.writer, self.over, self.late = store.url + '/api/v1/write', writer, threading.Event(), 0

    def run(self):
        due = time.time()
        while not self.over.is_set():
            for body in self.writer.bodies(int(due * 1000)):
                fleet.send(self.url, body)
            due += 15
            self.late = max(self.late, time.time() - due)
            self.over.wait(max(0, due - time.time()))


def cpu(pids):
    return sum(bench.cpu(pid) for pid in pids)


def measure(kind, rules):
    store = kind()
    store.configure()
    store.start()
    feed = Feed(store, fleet.Writer(HOSTS))
    feed.start()
    time.sleep(WARM)
    before, begun = cpu([store.pid]), time.monotonic()
    time.sleep(WINDOW)
    base = (cpu([store.pid]) - before) / (time.monotonic() - begun)
    pids, evaluator = [store.pid], None
    if kind is fleet.VictoriaMetrics:
        port = bench.port()
        evaluator = bench.spawn([bench.find('vmalert', 'vmalert-prod'), '-rule=' + rules, '-datasource.url=' + store.url,
                                 '-remoteWrite.url=' + store.url, '-notifier.blackhole', f'-httpListenAddr=127.0.0.1:{port}',
                                 '-evaluationInterval=15s', '-loggerLevel=ERROR'], 'vmalert')
        pids.append(evaluator.pid)
    else:
        # Both read their rules again at SIGHUP.
        store.configure(rules)
        store.process.send_signal(1)
    time.sleep(SETTLE)
    before, begun = cpu(pids), time.monotonic()
    time.sleep(WINDOW)
    whole = (cpu(pids) - before) / (time.monotonic() - begun)
    firing = json.loads(store.query('count(ALERTS{alertstate="firing"}) or vector(0)', 'i'))['data']['result']
    feed.over.set()
    feed.join(60)
    found = (whole - base) * 15, base * 15, bench.rss(store.pid), firing[0]['value'][1], feed.late
    store.stop()
    if evaluator:
        bench.stop(evaluator)
    return found


def main():
    rules = bench.WORK + '/rules.yml'
    rule_file(rules)
    print(f'{HOSTS * 50} series, {ALERTS} alerting and {RECORDS} recording rules each 15 s')
    print(f'{"":18}{"CPU s a round":>14}{"CPU s to take in":>18}{"MiB":>8}{"firing":>8}{"ours/theirs":>13}')
    own = None
    for kind in fleet.stores():
        cost, base, memory, firing, late = measure(kind, rules)
        own = own or cost
        ratio = '' if kind is fleet.Ours else f'{own / cost:13.2f}'
        print(f'{kind.name:18}{cost:14.2f}{base:18.2f}{memory:8.0f}{firing:>8}{ratio}' + (f'  samples came {late:.0f} s late' if late > 1 else ''), flush=True)


if __name__ == '__main__':
    bench.run(main)
