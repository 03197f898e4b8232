//! Memory that the process no longer uses goes back to the machine.
//!
//! What a small resident program occupies is mostly two things it does not need: heaps of threads
//! that each keep what was freed, and code that ran once at the start. Measured on the demo: one
//! heap instead of one for each thread saves 4.3 MiB of 31.3, mapped start-up code 3.4 MiB; mimalloc
//! 2.0 (preloaded) occupies 3.4 MiB more than the C library's many heaps.
#![cfg_attr(all(target_os = "linux", target_env = "gnu"), allow(unsafe_code))]

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::ports::Clock;

/// What reading the configuration and opening the store needed is over by then, and the first looks
/// have not begun: without this the most that is ever occupied is a tenth more.
const STARTED: Duration = Duration::from_millis(300);
/// All targets have been looked at, all rules have run.
const SETTLED: Duration = Duration::from_secs(15);
/// How often to look whether there is something to give back.
const INTERVAL: Duration = Duration::from_secs(30);
/// What the process may grow, in bytes, before it is worth the work: giving back makes it fetch
/// again what it does use, some hundred pages, a millisecond of processor time.
const GROWTH: u64 = 1 << 20;

/// Gives back memory now and then, until told to stop.
pub async fn keep(clock: Arc<dyn Clock>, stop: CancellationToken) {
    let mut room = JoinSet::new();
    let mut waits = [STARTED, SETTLED].into_iter();
    let mut after = 0;
    loop {
        let next = clock.mono().after(waits.next().unwrap_or(INTERVAL));
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep_until(next) => {}
        }
        room.spawn_blocking(move || {
            if resident()?.saturating_sub(after) < GROWTH {
                return None;
            }
            give_back();
            resident()
        });
        if let Some(Ok(Some(now))) = room.join_next().await {
            after = now;
        }
    }
}

/// One heap for all threads. To be called before there is a second thread.
pub fn one_heap() {
    system::one_heap();
}

/// Gives what is free back to the machine.
pub fn give_back() {
    system::give_back();
}

/// Bytes of memory the process occupies (`proc_pid_statm(5)`); none where the machine does not say.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
mod system {
    /// `mallopt(3)`
    pub fn one_heap() {
        // SAFETY: sets one number of the C library's allocator; there is no other thread yet that
        // could be inside the allocator.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    }

    /// `malloc_trim(3)`, and `madvise(2)` for the code.
    pub fn give_back() {
        // SAFETY: the allocator takes its own locks and gives back only what is free.
        unsafe { libc::malloc_trim(0) };
        let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
        for (start, length) in super::code(&maps) {
            // SAFETY: the pages of this mapping were never written to: it is private, of a file
            // and not writable, so that the next access reads the same bytes from the file.
            unsafe { libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED) };
        }
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu", not(miri))))]
mod system {
    /// Only the GNU C library has heaps of its own for each thread.
    pub fn one_heap() {}

    /// Nothing is known to give back.
    pub fn give_back() {}
}

/// Address and length in bytes of what holds code, by the lines of `proc_pid_maps(5)`: mappings of
/// a file that may be executed and not written.
fn code(maps: &str) -> impl Iterator<Item = (usize, usize)> {
    maps.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (range, rights, path) = (words.next()?, words.next()?, words.nth(3)?);
        if rights != "r-xp" || !path.starts_with('/') {
            return None;
        }
        let (start, end) = range.split_once('-')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        let end = usize::from_str_radix(end, 16).ok()?;
        Some((start, end.checked_sub(start)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_given_back() {
        let maps = "\
00400000-00452000 r-xp 00001000 08:02 173521 /usr/bin/a b
00652000-00653000 r--p 00052000 08:02 173521 /usr/bin/a
00653000-00655000 rw-p 00053000 08:02 173521 /usr/bin/a
00655000-00656000 rwxp 00055000 08:02 173521 /usr/bin/a
00656000-00657000 r-xp 00000000 00:00 0
7ffc1000-7ffc3000 r-xp 00000000 00:00 0 [vdso]
nonsense
";
        assert_eq!(code(maps).collect::<Vec<_>>(), [(0x400000, 0x52000)]);
    }

    #[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
    #[test]
    fn what_was_freed_goes_back_and_the_code_still_runs() {
        // Small pieces: large ones go back to the system by themselves. One in a hundred stays, so
        // that the heap's end cannot simply move down.
        let mut pieces: Vec<Vec<u8>> = (0..200_000).map(|_| vec![1; 200]).collect();
        let full = resident().unwrap();
        let kept: Vec<Vec<u8>> = pieces.drain(..).step_by(100).collect();
        system::give_back();
        let after = resident().unwrap();
        assert!(after + (20 << 20) < full, "{full} {after} {}", kept.len());
        assert_eq!(kept.iter().map(|piece| piece.len()).sum::<usize>(), 2_000 * 200);
    }
}
