#!/usr/bin/env python3
"""Bytes per sample on disk against Prometheus and VictoriaMetrics: the same samples, in the same run.

    cargo build --release && benches/peers/disk.py [KIND…]

Needs promtool and prometheus' block writer (promtool alone), and victoria-metrics; a peer that is not there is left
out. What is counted: the files that grow with the samples (blocks with their index; parts with their index; segments
with their directory), after each has merged what it merges. Our catalogue, some 40 KiB however many samples there are,
is not. The samples are those of 20 probes each 15 s for 8 h: all
series of a probe at one instant that trembles by 20 ms, durations in whole microseconds.
"""
import json, os, random, shutil, subprocess, sys, time
import bench
from bench import WORK, find, get, ours, port, ready, row, spawn, stop

TARGETS, ROWS, STEP = 20, 1920, 15
# Within every store's retention, on a border of two hours.
START = (int(time.time()) // 86400 - 2) * 86400


def walk(step):
    def next_value(r, n, last):
        return last + step(r)
    return next_value


# Name, next value, bits of noise per sample where known.
KINDS = [
    ('flag_with_outages', lambda r, n, last: float(n % 400 > 5 or r.random() < .89), None),
    ('constant', lambda r, n, last: 1234.5, 0),
    ('latency_microseconds', lambda r, n, last: (18000 + r.randrange(4000)) / 1e6, 11.97),
    ('latency_nanoseconds', lambda r, n, last: (18000000 + r.randrange(4000000)) / 1e9, 21.93),
    ('noise_all_bits', lambda r, n, last: r.random(), 52),
    ('gauge_whole_numbers', lambda r, n, last: float(n // 40 * 3 + r.randrange(4)), 2),
    ('counter_plus_50', walk(lambda r: float(40 + r.randrange(20))), 4.32),
    ('counter_bytes', walk(lambda r: float(1000000 + r.randrange(100000))), 16.6),
    ('counter_idle', walk(lambda r: float(r.randrange(50) == 0)), .14),
    ('bucket_cumulative', walk(lambda r: float(r.randrange(6))), 2.58),
    ('temperature_tenths', lambda r, n, last: (210 + n // 20 + r.randrange(3)) / 10, 1.58),
    ('certificate_expiry', lambda r, n, last: float(1790000000 + n // 2000 * 7776000), 0),
]


def texts(kinds, d):
    """OpenMetrics (seconds) and text (milliseconds) with the same samples; how many there are."""
    os.makedirs(d)
    count = 0
    with open(d + '/page.om', 'w') as om, open(d + '/page.txt', 'w') as text:
        times = []
        for t in range(TARGETS):
            r = random.Random(t)
            times.append([(START + n * STEP + t) * 1000 + r.randrange(20) for n in range(ROWS)])
        for name, value, _ in kinds:
            om.write(f'# TYPE {name} unknown\n')
            for t in range(TARGETS):
                r, last = random.Random(f'{name}{t}'), 0.0
                series = f'{name}{{instance="orwell",job="augenmass",owner="web-team",probe="http",service="homepage",target="https://host-{t:02d}.example.org/"}}'
                for n, at in enumerate(times[t]):
                    last = value(r, n, last)
                    om.write(f'{series} {last!r} {at // 1000}.{at % 1000:03d}\n')
                    text.write(f'{series} {last!r} {at}\n')
                    count += 1
        om.write('# EOF\n')
    return count


def size(folder, skip=()):
    return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(folder)
               if not any(part in at for part in skip) for name in names)


def augenmass(d):
    subprocess.run([ours(), '--log', 'warn', 'import', 'openmetrics', d + '/page.om', '--data', d + '/ours'], check=True, stdout=subprocess.DEVNULL)
    told = json.loads(subprocess.run([ours(), 'storage', 'status', '--data', d + '/ours', '-o', 'json'], check=True, capture_output=True).stdout)
    return told['segment_bytes']


def prometheus(d):
    """One block of 8 h, as it is after merging."""
    data = d + '/prometheus'
    subprocess.run([find('promtool'), 'tsdb', 'create-blocks-from', '--max-block-duration=8h', 'openmetrics', d + '/page.om', data], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return sum(size(f'{data}/{block}') for block in os.listdir(data))


def victoria(d):
    at = port()
    p = spawn([find('victoria-metrics', 'victoria-metrics-prod'), f'-storageDataPath={d}/vm', f'-httpListenAddr=127.0.0.1:{at}', '-loggerLevel=ERROR', '-retentionPeriod=10y'], 'vm')
    url = f'http://127.0.0.1:{at}'
    ready(url + '/health', p)
    import urllib.request
    urllib.request.urlopen(urllib.request.Request(url + '/api/v1/import/prometheus', data=open(d + '/page.txt', 'rb').read(), method='POST'), timeout=300).read()
    get(url + '/internal/force_flush', 300)
    get(url + '/internal/force_merge', 300)
    time.sleep(2)
    stop(p)
    # What is saved at the end to start more quickly is no data.
    return size(d + '/vm', ('/cache',))


def main():
    stores = [('augenmass', augenmass)]
    stores += [('Prometheus', prometheus)] if find('promtool') else []
    stores += [('VictoriaMetrics', victoria)] if find('victoria-metrics', 'victoria-metrics-prod') else []
    print(f'load before: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores; bytes per sample')
    row('kind', *(name for name, _ in stores), 'better peer = 1', )
    chosen = [kind for kind in KINDS if not sys.argv[1:] or kind[0] in sys.argv[1:]]
    for name, kinds in [('all together', chosen)] + [(kind[0], [kind]) for kind in chosen]:
        d = f'{WORK}/{name.replace(" ", "-")}'
        count = texts(kinds, d)
        each = [store(d) / count for _, store in stores]
        floor = kinds[0][2] if len(kinds) == 1 else None
        ratio = f'{each[0] / min(each[1:]):.2f}' if each[1:] else '-'
        row(name + (f' (noise {floor / 8:.3f})' if floor is not None else ''), *(f'{e:.3f}' for e in each), ratio)
        shutil.rmtree(d)


if __name__ == '__main__':
    bench.run(main)
