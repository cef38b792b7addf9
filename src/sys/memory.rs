//! Memory of this process (madvise(2), malloc_trim(3)) and of the machine (proc_meminfo(5)).

use std::io;

/// Releases memory that an idle process does not need: its program text, which the kernel maps again page by
/// page on demand, and free heap.
pub fn release_unused() -> io::Result<()> {
    // SAFETY: malloc_trim takes a number; glibc's own locks make it safe at any time.
    unsafe { libc::malloc_trim(0) };
    for (start, length) in program_text(&std::fs::read_to_string("/proc/self/maps")?) {
        // SAFETY: the range is a whole private mapping of this program's file that cannot be written to (`r-xp`), so
        // no page of it differs from the file: MADV_DONTNEED only makes the next access read it from there again.
        // Data that relocation has changed is never executable and thus not in it.
        let result = unsafe { libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Executable private file mappings (proc_pid_maps(5)), as start and length.
fn program_text(maps: &str) -> Vec<(usize, usize)> {
    let mut mappings = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, rights, path) = (words.next(), words.next(), words.nth(3));
        let Some((start, end)) = range.and_then(|range| range.split_once('-')) else { continue };
        if rights != Some("r-xp") || !path.is_some_and(|path| path.starts_with('/')) {
            continue;
        }
        let number = |text| usize::from_str_radix(text, 16);
        if let (Ok(start), Ok(end)) = (number(start), number(end)) {
            mappings.push((start, end.saturating_sub(start)));
        }
    }
    mappings
}

/// Bytes of memory of the machine, from the text of /proc/meminfo.
pub fn total_memory(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.unwrap_or_default().saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files() {
        let maps = "7f00-7fff r--p 00000000 fe:00 1 /bin/dhow\n\
                    8000-a000 r-xp 00001000 fe:00 1 /bin/my dhow\n\
                    a000-b000 rw-p 00003000 fe:00 1 /bin/dhow\n\
                    c000-d000 r-xp 00000000 00:00 0 [vdso]\n\
                    e000-f000 r-xp 00000000 00:00 0\n";
        assert_eq!(program_text(maps), [(0x8000, 0x2000)]);
    }

    #[test]
    fn goes_on_after_it() {
        release_unused().unwrap();
        assert_eq!(format!("{}", [1, 2, 3].iter().sum::<i32>()), "6");
    }

    #[test]
    fn memory_of_the_machine_is_read() {
        assert_eq!(total_memory("MemFree: 5 kB\nMemTotal:       2048 kB\n"), 2 << 20);
        assert_eq!(total_memory("nonsense"), 0);
    }
}
