#!/usr/bin/env python3
"""CPU for each query: augenmass, Prometheus and VictoriaMetrics over the same samples in one run.

    cargo build --release && benches/peers/queries.py [augenmass] [prometheus] [victoriametrics]

6 h of 5,000 series, a sample each 15 s (HOSTS=100 of 50 series, STEPS=1440), on disk in each; the stores run one after
the other. Each query is warmed up twice, then repeated; CPU is user + system time of the process. A peer that is not
there is left out. The answers must agree in number of values and in their sum. FLEET=PATH keeps the samples for the
next run.
"""
import json, os, statistics, time

import bench, fleet

HOSTS, STEPS = int(os.environ.get('HOSTS', 100)), int(os.environ.get('STEPS', 1440))
REPEAT = int(os.environ.get('REPEAT', 15))
KEPT = os.environ.get('FLEET')
START = int(open(KEPT + '.start').read()) if KEPT and os.path.exists(KEPT + '.start') else int(time.time()) // 7200 * 7200 - STEPS * 15 - 7200
END = START + STEPS * 15 - 15
ONE = f'instance="{fleet.host(7)}"'
QUERIES = [  # name, expression, instant or range, step, length
    ('i1 one series', f'probe_success{{{ONE}}}', 'i', 0, 0),
    ('i2 all that are down', 'probe_success == 0', 'i', 0, 0),
    ('i3 rate, one code', 'rate(http_requests_total{code="500"}[5m])', 'i', 0, 0),
    ('i4 sum by site of rate', 'sum by (site) (rate(http_requests_total[5m]))', 'i', 0, 0),
    ('i5 p99 of all', 'histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))', 'i', 0, 0),
    ('i6 average over 6 h', 'avg_over_time(probe_success[6h])', 'i', 0, 0),
    ('i7 topk of max over 1 h', 'topk(10, max_over_time(probe_duration_seconds[1h]))', 'i', 0, 0),
    ('r1 one series, 6 h/15 s', f'probe_duration_seconds{{{ONE}}}', 'r', 15, 21600),
    ('r2 five series, 6 h/60 s', f'probe_http_duration_seconds{{{ONE}}}', 'r', 60, 21600),
    ('r3 rate of one host, 6 h/60 s', f'sum by (code) (rate(http_requests_total{{{ONE}}}[5m]))', 'r', 60, 21600),
    ('r4 sum of rate, 1 h/15 s', 'sum by (site) (rate(http_requests_total[5m]))', 'r', 15, 3600),
    ('r5 sum of rate, 6 h/60 s', 'sum by (site) (rate(http_requests_total[5m]))', 'r', 60, 21600),
    ('r6 p99 by site, 6 h/60 s', 'histogram_quantile(0.99, sum by (site, le) (rate(http_request_duration_seconds_bucket[5m])))', 'r', 60, 21600),
    ('r7 availability, 6 h/60 s', 'avg by (site) (avg_over_time(probe_success[1h]))', 'r', 60, 21600),
    ('r8 100 series, 6 h/60 s', 'probe_duration_seconds', 'r', 60, 21600),
    ('r9 ratio of two sums, 1 h/15 s', 'sum by (instance) (rate(http_requests_total{code="500"}[5m])) / on (instance) '
     'sum by (instance) (rate(http_requests_total[5m])) > 0.001', 'r', 15, 3600),
    ('r10 bits of 800 counters, 6 h/60 s', 'sum by (instance) (rate(ifHCInOctets[5m]) * 8 + on (instance, ifName) rate(ifHCOutOctets[5m]) * 8)', 'r', 60, 21600),
]


def measure(store):
    """Name → (milliseconds of CPU, number of values, sum of values)."""
    found = {}
    for name, expr, kind, step, length in QUERIES:
        times = {'time': END} if kind == 'i' else {'start': END - length + step, 'end': END, 'step': step}
        result = json.loads(store.query(expr, kind, **times))['data']['result']
        values = [float(pair[1]) for one in result for pair in one.get('values', [one.get('value')]) if pair]
        repeat = REPEAT * (10 if kind == 'i' or name[:3] in ('r1 ', 'r2 ', 'r3 ') else 1)
        store.query(expr, kind, **times)
        before = bench.cpu(store.pid)
        for _ in range(repeat):
            store.query(expr, kind, **times)
        used = (bench.cpu(store.pid) - before) / repeat * 1000
        found[name] = used, len(values), sum(v for v in values if v == v and abs(v) != float('inf'))
    return found


def samples():
    path = KEPT or f'{bench.WORK}/fleet'
    if not os.path.exists(path + '.start'):
        fleet.write(path, HOSTS, STEPS, START)
        open(path + '.start', 'w').write(str(START))
    return path


def each_store(path):
    """The stores one after the other, each running with these samples."""
    for kind in fleet.stores():
        store = kind()
        store.load(path)
        store.start()
        if kind is fleet.Prometheus:
            time.sleep(int(os.environ.get('SETTLE', 60)))  # it compacts what it finds
        yield store
        store.stop()


def main():
    path = samples()
    results = {}
    for store in each_store(path):
        results[store.name] = measure(store)
        print(f'{store.name}: {bench.rss(store.pid):.0f} MiB resident after the queries', flush=True)
    names = list(results)
    print('\nCPU milliseconds for each query; the ratio is ours to theirs')
    print(f'{"query":36}' + ''.join(f'{name:>17}' for name in names))
    ratios, wrong = {name: [] for name in names[1:]}, 0
    for name, *_ in QUERIES:
        own = results[names[0]][name]
        cells = f'{own[0]:17.2f}'
        for other in names[1:]:
            theirs = results[other][name]
            # A clock tick is 10 ms: below a tenth of a millisecond nothing is known.
            ratio = max(own[0], .01) / max(theirs[0], .01)
            ratios[other].append(ratio)
            cells += f'{theirs[0]:10.2f} {ratio:6.2f}'
            # VictoriaMetrics extrapolates nothing, so its sums may differ.
            if other == 'prometheus' and (own[1] != theirs[1] or abs(own[2] - theirs[2]) > 1e-9 * abs(theirs[2]) + 1e-9):
                cells, wrong = cells + ' DIFFERENT', wrong + 1
        print(f'{name:36}{cells}')
    for other, found in ratios.items():
        print(f'median ratio to {other}: {statistics.median(found):.2f}, worst {max(found):.2f}')
    return 1 if wrong else 0


if __name__ == '__main__':
    bench.run(main)
