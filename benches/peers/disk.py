#!/usr/bin/env python3
"""Bytes per sample on disk against Prometheus and VictoriaMetrics: the same samples, in the same run.

    cargo build --release && benches/peers/disk.py [KIND…]
    cargo build --release && benches/peers/disk.py fleet

Needs promtool and prometheus' block writer (promtool alone), and victoria-metrics; a peer that is not there is left
out. What is counted: the files that grow with the samples (blocks with their index; parts with their index; segments
with their directory), after each has merged what it merges. Our catalogue, some 40 KiB however many samples there are,
is not. The samples are those of 20 probes each 15 s for 8 h: all
series of a probe at one instant that trembles by 20 ms, durations in whole microseconds.

With `fleet` it is the mixture of fleet.py: 100 hosts with 50 series each, 1,440 samples 15 s apart, at the same instant
for all. Beside it stands its entropy, which no lossless code can go below: of each metric for itself, and of the whole
with what its columns share (buckets of one draw, a duration that is the sum of its phases).
"""
import json, math, os, random, shutil, subprocess, sys, time
import bench, fleet
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


HOSTS, STEPS = 100, 1440


def entropy(chances):
    return -sum(p * math.log2(p) for p in chances if p > 0)


def uniform_sum(widths):
    """Bits of a sum of independent draws, each even over so many whole numbers: by counting in 4,000 classes."""
    step = sum(widths) / 4000
    chances = [1.0]
    for width in widths:
        n = max(1, round(width / step))
        total, out = 0.0, []
        for k in range(len(chances) + n - 1):
            total += chances[k] if k < len(chances) else 0
            total -= chances[k - n] if k >= n else 0
            out.append(total / n)
        chances = out
    return entropy(chances) + math.log2(step)


def fleet_bits():
    """Bits of one step of a host on average: {metric: alone}, and together. What is drawn is in fleet.Host.step."""
    alone, together = {}, 0.0
    counts = range(200)
    parts = (0, .02, .1, .3, .55, .8, .9, .96, .99, .998, 1)

    def add(metric, bits, new):
        nonlocal together
        alone[metric] = alone.get(metric, 0) + bits / HOSTS
        together += new / HOSTS

    for number in range(HOSTS):
        one = fleet.Host(number)
        p = .001 + (.7 * .999 if one.bad else 0)
        add('probe_success', entropy([p, 1 - p]), entropy([p, 1 - p]))
        add('probe_http_status_code', entropy([p, 1 - p]), 0)
        widths = [one.base * part * .4e9 for part in (.02, .1, .25, .5, .13)]
        for width in widths:
            add('probe_http_duration_seconds', math.log2(width), math.log2(width))
        add('probe_duration_seconds', uniform_sum(widths), 0)
        add('probe_ssl_earliest_cert_expiry', 0, 0)
        few = entropy([.7 + .3 / 9] + [.3 / 9] * 8)
        for k in range(9):
            bits = math.log2(400) if k % 3 == 0 else few
            add('http_requests_total', bits, bits)
        for part in parts:
            seen = [int(count * part + .5) for count in counts]
            add('http_request_duration_seconds_bucket', entropy([seen.count(v) / 200 for v in set(seen)]), 0)
        add('http_request_duration_seconds_count', math.log2(200), math.log2(200))
        # Given the count, a tenth more or less of its mean; the count alone is known from it nearly always.
        spread = sum(math.log2(count * one.base * .2e9) for count in counts if count) / 200
        low, high = .9e9 * one.base, 1.1e9 * one.base
        cells = 20000
        density = [0.0] * (cells + 1)
        for count in counts[1:]:
            first, last = low * count / (high * 199) * cells, count / 199 * cells
            for cell in range(int(first), min(int(last), cells) + 1):
                share = min(cell + 1, last) - max(cell, first)
                density[cell] += max(share, 0) / (last - first) / 200
        add('http_request_duration_seconds_sum', entropy(density + [1 / 200]) + .995 * math.log2(high * 199 / cells), spread)
        for k in range(8):
            metric = 'ifHCInOctets' if k < 4 else 'ifHCOutOctets'
            add(metric, math.log2(5e7), math.log2(5e7))
        add('ifOperStatus', 0, 0)
        for k in range(4):
            add('printer_toner_level', entropy([.02, .98]), 0 if k else entropy([.02, .98]))
        # As long as it is not empty any of 21 steps.
        queue, bits = 0, 0.0
        for _ in range(STEPS):
            bits += entropy([max(0, 11 - queue) / 21] + [1 / 21] * min(20, queue + 10)) / STEPS
            one.step()
            queue = one.queue
        add('postfix_queue_size', bits, bits)
        # Even over a degree, told in tenths that the draw's borders do not meet.
        tenths = .9 * math.log2(10) + .1 * (math.log2(10) + .7213)
        add('node_temperature_celsius', tenths, tenths)
        add('node_load1', math.log2(400), math.log2(400))
    return alone, together


def fleet_texts(d, whole, metric):
    """The lines of one metric, or all, of the text of the whole."""
    os.makedirs(d)
    if metric is None:
        shutil.copy(whole + '.om', d + '/page.om')
        shutil.copy(whole + '.vm', d + '/page.txt')
    else:
        for end, name in (('.om', '/page.om'), ('.vm', '/page.txt')):
            with open(whole + end) as lines, open(d + name, 'w') as out:
                out.writelines(line for line in lines if line.startswith((metric + '{', f'# TYPE {metric} ', '# EOF')))


def fleet_main(stores):
    alone, together = fleet_bits()
    whole = WORK + '/fleet'
    fleet.write(whole, HOSTS, STEPS, START)
    names = [name for name, _ in fleet.series(0)]
    for metric in [None] + sorted(set(names), key=names.index):
        d = f'{WORK}/{metric or "all"}'
        fleet_texts(d, whole, metric)
        series = names.count(metric) if metric else len(names)
        each = [store(d) / (HOSTS * STEPS * series) for _, store in stores]
        floor = (alone[metric] if metric else together) / series / 8
        ratio = f'{each[0] / min(each[1:]):.2f}' if each[1:] else '-'
        row(f'{metric or "all together"} (entropy {floor:.3f})', *(f'{e:.3f}' for e in each), ratio)
        shutil.rmtree(d)


def main():
    stores = [('augenmass', augenmass)]
    stores += [('Prometheus', prometheus)] if find('promtool') else []
    stores += [('VictoriaMetrics', victoria)] if find('victoria-metrics', 'victoria-metrics-prod') else []
    print(f'load before: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores; bytes per sample')
    row('kind', *(name for name, _ in stores), 'better peer = 1', )
    if 'fleet' in sys.argv[1:]:
        return fleet_main(stores)
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
