#!/usr/bin/env python3
"""Peak memory of one query over many series: augenmass and Prometheus over the same samples.

    cargo build --release && benches/peers/query_memory.py [augenmass] [prometheus]

The samples of queries.py (HOSTS, STEPS, FLEET as there): by default 6 h of 5,000 series, a sample each 15 s, 7.2 million
samples, 115 MB as plain numbers. Shown is by how much the peak of the process' resident memory grows over what it was
before, for queries that read all of them and for one that gives a quarter of them; and how many samples the engine
itself says it held at once.
"""
import json, time

import bench, fleet
from queries import END, STEPS, each_store, samples

QUERIES = [
    ('rate of a fifth, by site, step 60 s', 'sum by (site) (rate(http_request_duration_seconds_bucket[5m]))', 60),
    ('max of all by site, step 15 s', 'max by (site) ({job="fleet"})', 15),
    ('all series as they are, step 60 s', '{job="fleet"}', 60),
]


def high(pid):
    for line in open(f'/proc/{pid}/status'):
        if line.startswith('VmHWM'):
            return int(line.split()[1]) / 1024
    return 0.0


def measure(store):
    # What is decoded once and kept is no part of a query.
    store.query('count({job="fleet"})', 'i', time=END)
    for name, expr, step in QUERIES:
        open(f'/proc/{store.pid}/clear_refs', 'w').write('5')
        before, used = high(store.pid), bench.cpu(store.pid)
        answer = store.query(expr, 'r', start=END - STEPS * 15 + 15, end=END, step=step, stats='all')
        grown, used = high(store.pid) - before, bench.cpu(store.pid) - used
        values = answer.count('],[') + 1
        held = json.loads(answer)['data'].get('stats', {}).get('samples', {}).get('peakSamples', 0)
        print(f'{store.name:16}{name:42}{grown:10.0f} MiB more{held:12} samples held{len(answer) / 1e6:9.1f} MB answered'
              f'{values:10} values{used:8.2f} CPU-s', flush=True)
        del answer
        time.sleep(2)


def main():
    for store in each_store(samples()):
        if store.name != fleet.VictoriaMetrics.name:
            measure(store)


if __name__ == '__main__':
    bench.run(main)
