#!/usr/bin/env python3
"""Memory of the whole process for 100,000 active series, and what it takes to be ready after kill -9.

    cargo build --release && benches/peers/memory.py [augenmass] [prometheus] [victoriametrics]

STEPS=120 steps of 15 s of HOSTS=2000 hosts with 50 series each come by remote write, as fast as they are taken; the stores
run one after the other. Memory is taken SETTLE=40 s later (highest: of the whole time before). Then the process is killed
and started again on its folder: CPU-seconds and memory when it is ready, and memory SETTLE s later.
"""
import os, time

import bench, fleet

HOSTS, STEPS = int(os.environ.get('HOSTS', 2000)), int(os.environ.get('STEPS', 120))
SETTLE = int(os.environ.get('SETTLE', 40))


def measure(kind):
    store = kind()
    store.configure()
    store.start()
    writer, start = fleet.Writer(HOSTS), int(time.time()) - STEPS * 15
    for step in range(STEPS):
        for body in writer.bodies((start + step * 15) * 1000):
            fleet.send(store.url + '/api/v1/write', body)
    time.sleep(SETTLE)
    found = [bench.cpu(store.pid), bench.rss(store.pid), bench.peak(store.pid)]
    store.process.kill()
    store.process.wait()
    began = time.monotonic()
    store.start()
    found += [time.monotonic() - began, bench.cpu(store.pid), bench.rss(store.pid)]
    time.sleep(SETTLE)
    found.append(bench.rss(store.pid))
    end = {'time': start + STEPS * 15}
    answer = store.query('sum(count_over_time(probe_success[1d]))', 'i', **end)
    store.stop()
    return found, answer.rsplit('"', 2)[1]


def main():
    print(f'{HOSTS * 50} series, {STEPS} samples each')
    titles = 'CPU s, MiB, highest, ready s, CPU s, MiB, MiB later'.split(', ')
    print(f'{"":18}' + ''.join(f'{title:>12}' for title in titles) + '   of a metric')
    own = None
    for kind in fleet.stores():
        found, samples = measure(kind)
        print(f'{kind.name:18}' + ''.join(f'{one:12.2f}' for one in found) + f'{samples:>14}', flush=True)
        own = own or found
        if kind is not fleet.Ours:
            print(f'{"ours/theirs":18}' + ''.join(f'{a / max(b, .01):12.2f}' for a, b in zip(own, found)), flush=True)


if __name__ == '__main__':
    bench.run(main)
