#!/usr/bin/env python3
"""Unit tests of rules: our CPU time and that of promtool, on the same files.

    cargo build --release && benches/peers/unit_tests.py [FOLDER] [ROUNDS]

FOLDER holds *_test.yml or *.test.yml files that pass under both; the shipped pack when absent, and the
conformance corpus where there is one. Each program runs once for each round over all files at once,
as people run it. CPU is user + system time of the child; the best of the rounds counts.
"""
import glob, os, resource, subprocess, sys

from bench import ROOT, find, ours


def run(program, files, folder):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([program, 'test', 'rules', *files], cwd=folder, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.returncode, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def passing(program, files, folder):
    return [file for file in files if run(program, [file], folder)[0] == 0]


def compare(name, folder, rounds, promtool):
    files = sorted(os.path.basename(f) for p in ('*_test.yml', '*.test.yml', '*-test.yml') for f in glob.glob(f'{folder}/{p}'))
    files = passing(ours(), passing(promtool, files, folder), folder)
    if not files:
        return
    best = {}
    for _ in range(rounds):
        for who, program in (('ours', ours()), ('promtool', promtool)):
            code, cpu = run(program, files, folder)
            assert code == 0, who
            best[who] = min(cpu, best.get(who, cpu))
    ratio = best['promtool'] / max(best['ours'], 1e-9)
    print(f"{name}: {len(files)} files, ours {best['ours']:.3f} CPU-s, promtool {best['promtool']:.3f} CPU-s, "
          f"{ratio:.1f} times as fast (load {os.getloadavg()[0]:.1f})")


def main():
    promtool = find('promtool') or sys.exit('promtool was not found')
    print(subprocess.run([promtool, '--version'], capture_output=True, text=True).stdout.splitlines()[0])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    if len(sys.argv) > 1:
        return compare(sys.argv[1], sys.argv[1], rounds, promtool)
    compare('shipped rules', f'{ROOT}/rules', rounds, promtool)
    corpora = os.environ.get('AUGENMASS_CONFORMANCE', f'{ROOT}/../shared/conformance')
    if os.path.isdir(f'{corpora}/rules-unit'):
        compare('conformance corpus', f'{corpora}/rules-unit', rounds, promtool)


main()
