//! What a process did to files, as strace wrote it down: `strace -f -xx -s 100000000 -o FILE`.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// All calls that could change what lies on the disk, and those that tell which file is meant.
pub const CALLS: &str = "open,openat,creat,close,dup,dup2,dup3,fcntl,write,writev,pwrite64,pwritev,\
pwritev2,truncate,ftruncate,fallocate,fsync,fdatasync,sync_file_range,msync,rename,renameat,renameat2,\
unlink,unlinkat,link,linkat,symlink,symlinkat,mkdir,mkdirat,rmdir,copy_file_range,sendfile,splice,mmap";

/// A call: its name, its arguments as they stand between the parentheses, and what it returned.
#[derive(Debug)]
pub struct Call {
    pub name: String,
    arguments: Vec<String>,
    pub returned: i64,
}

/// The beginning or the end of a call, by its place in the list of all calls.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    Begin(usize),
    End(usize),
}

impl Call {
    /// A number among the arguments.
    pub fn number(&self, at: usize) -> i64 {
        number(&self.arguments[at]).unwrap_or_else(|| panic!("no number at {at} in {self:?}"))
    }

    /// A word among the arguments, such as flags.
    pub fn word(&self, at: usize) -> &str {
        &self.arguments[at]
    }

    /// The bytes of a text among the arguments.
    pub fn bytes(&self, at: usize) -> Vec<u8> {
        let text = self.arguments[at].strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let text = text.unwrap_or_else(|| panic!("no whole text at {at} in {}", self.name));
        let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
        text.as_bytes().chunks(4).map(|x| digit(x[2]) << 4 | digit(x[3])).collect()
    }

    /// The paths among the arguments, in their order.
    pub fn paths(&self) -> Vec<PathBuf> {
        let texts = (0..self.arguments.len()).filter(|at| self.arguments[*at].starts_with('"'));
        texts.map(|at| PathBuf::from(OsString::from_vec(self.bytes(at)))).collect()
    }
}

fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Splits at the commas that are not inside of a text, a list or a structure.
fn arguments(text: &str) -> Vec<String> {
    let (mut all, mut one, mut depth, mut quoted) = (Vec::new(), String::new(), 0, false);
    for letter in text.chars() {
        match letter {
            '"' => quoted = !quoted,
            '[' | '{' | '(' if !quoted => depth += 1,
            ']' | '}' | ')' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                all.push(std::mem::take(&mut one).trim().to_owned());
                continue;
            }
            _ => {}
        }
        one.push(letter);
    }
    all.push(one.trim().to_owned());
    all
}

/// Reads a file of strace: the calls, and their beginnings and ends in the order of happening.
/// Calls that failed are left out.
pub fn read(path: &Path) -> (Vec<Call>, Vec<Moment>) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut calls: Vec<Call> = Vec::new();
    let mut moments = Vec::new();
    // Calls that are under way, by thread.
    let mut open: HashMap<&str, usize> = HashMap::new();
    for line in text.lines() {
        let (thread, rest) = line.split_once(char::is_whitespace).unwrap();
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        // All texts are hexadecimal, so this cannot be inside of one.
        let (call, value) = rest.rsplit_once("= ").unwrap_or((rest, "-1"));
        let value = value.split_whitespace().next().unwrap_or("-1");
        let returned = number(value).unwrap_or(-1);
        if rest.starts_with("<...") {
            if let Some(at) = open.remove(thread) {
                calls[at].returned = returned;
                moments.push(Moment::End(at));
            }
            continue;
        }
        let Some((name, inside)) = call.split_once('(') else { continue };
        let (at, name) = (calls.len(), name.to_owned());
        moments.push(Moment::Begin(at));
        if let Some(inside) = inside.strip_suffix("<unfinished ...>") {
            let arguments = arguments(inside.trim_end().trim_end_matches(','));
            calls.push(Call { name, arguments, returned: -1 });
            open.insert(thread, at);
        } else {
            let arguments = arguments(inside.trim_end().trim_end_matches(')'));
            calls.push(Call { name, arguments, returned });
            moments.push(Moment::End(at));
        }
    }
    // The end of a process leaves calls without an end: they may have done their work.
    for at in open.into_values() {
        calls[at].returned = 0;
    }
    moments.retain(|moment| match *moment {
        Moment::Begin(at) | Moment::End(at) => calls[at].returned >= 0,
    });
    (calls, moments)
}
