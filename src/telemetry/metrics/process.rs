//! What the process itself costs, by the names that every Prometheus client gives these. Linux only; elsewhere nothing.

use std::fs;

use super::exposition::Exposition;

/// Writes what `/proc/self` tells (proc_pid_stat(5), proc_pid_status(5)).
pub(super) fn render(out: &mut Exposition) {
    let Some(process) = Process::read() else { return };
    out.counter("process_cpu_seconds", "CPU time, user and system.").sample(&[], process.cpu);
    out.gauge("process_resident_memory_bytes", "Memory in use, as the kernel counts it.")
        .sample(&[], process.resident);
    out.gauge("process_start_time_seconds", "When the process began.").sample(&[], process.started);
    out.gauge("process_open_fds", "Open files and connections.").sample(&[], process.files);
}

struct Process {
    cpu: f64,
    resident: u64,
    started: f64,
    files: u64,
}

impl Process {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let boot = fs::read_to_string("/proc/stat").ok()?;
        let files = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
        Self::of(&stat, &status, &boot, files)
    }

    fn of(stat: &str, status: &str, boot: &str, files: u64) -> Option<Self> {
        // The program's name, in parentheses, may hold anything: what follows the last of them is field 3.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let resident: u64 = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
        let booted = boot.lines().find_map(|line| line.strip_prefix("btime "))?;
        let booted: f64 = booted.trim().parse().ok()?;
        Some(Self {
            cpu: (ticks(14)? + ticks(15)?) / TICKS,
            resident: resident * 1024,
            started: booted + ticks(22)? / TICKS,
            files,
        })
    }
}

/// `USER_HZ`: 100 to user space on every architecture that Rust's standard library runs on.
const TICKS: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 1000 1 2 3";
        let status = "Name:\tx\nVmRSS:\t   10240 kB\nThreads:\t1\n";
        let process = Process::of(stat, status, "cpu 1\nbtime 1700000000\n", 7).unwrap();
        assert_eq!((process.cpu, process.resident), (3.0, 10240 * 1024));
        assert_eq!((process.started, process.files), (1_700_000_010.0, 7));
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        assert!(Process::of("", "", "", 0).is_none());
        assert!(Process::of("1 (a) S 1", "VmRSS: 1 kB", "btime 1", 0).is_none());
    }
}
