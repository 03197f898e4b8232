#!/usr/bin/env python3
"""CPU for reading 10,000 series of 6 h: augenmass, Prometheus and VictoriaMetrics over the same samples in one run.

    cargo build --release && benches/peers/reading.py [augenmass] [prometheus] [victoriametrics]

14.4 million samples (HOSTS=200 of 50 series, STEPS=1440 of 15 s) on disk in each; the stores run one after the other.
Each expression has little to compute, so that nearly all of its CPU (user + system time of the process) is reading:
the last of all samples of each series, and how many series there are at each minute. The first reading is given alone
(nothing is decoded yet), then the mean of REPEAT=5 more. The answers must agree.
"""
import json, os

os.environ.setdefault('HOSTS', '200')
import bench, fleet, queries

REPEAT = int(os.environ.get('REPEAT', 5))
ALL = '{job="fleet"}'
QUERIES = [
    ('all samples of all series', f'count(last_over_time({ALL}[6h]))', 'i', {'time': queries.END}),
    ('all series, 6 h/60 s', f'count({ALL})', 'r', {'start': queries.END - 21600 + 60, 'end': queries.END, 'step': 60}),
]


def measure(store):
    found = {}
    for name, expression, kind, times in QUERIES:
        used = []
        for _ in range(1 + REPEAT):
            before = bench.cpu(store.pid)
            answer = json.loads(store.query(expression, kind, **times))
            used.append(bench.cpu(store.pid) - before)
        values = [pair[1] for one in answer['data']['result'] for pair in one.get('values', [one.get('value')])]
        found[name] = used[0], sum(used[1:]) / REPEAT, values
    return found


def main():
    path = queries.samples()
    results = {}
    for store in queries.each_store(path):
        results[store.name] = measure(store)
        for name, (first, mean, values) in results[store.name].items():
            print(f'{store.name:16} {name:28} first {first:6.2f} CPU-seconds, then {mean:6.3f}; {values[-1]} series', flush=True)
        print(f'{store.name:16} {bench.rss(store.pid):.0f} MiB resident after the queries', flush=True)
    own, wrong = results.get('augenmass', {}), 0
    for other, found in results.items():
        for name, (first, mean, values) in found.items():
            if other == 'augenmass' or name not in own:
                continue
            different = '' if values == own[name][2] else ' DIFFERENT'
            wrong += bool(different) and other == 'prometheus'
            print(f'{name:28} of {other:16} first {own[name][0] / max(first, .01):5.2f}, then {own[name][1] / max(mean, .01):5.2f}{different}')
    return 1 if wrong else 0


if __name__ == '__main__':
    bench.run(main)
