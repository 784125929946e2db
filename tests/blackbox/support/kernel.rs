//! What the tests ask of the kernel by hand; the only file of the tests with `unsafe`.
#![allow(unsafe_code, reason = "signals, limits and filters of the child have no safe interface")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// Sends `signal` to the process `id`, a child that has not been waited for.
pub fn send_signal(id: u32, signal: i32) {
    let id = i32::try_from(id).expect("a process id");
    // SAFETY: kill takes no pointer; the child has not been waited for, so the id is still its own.
    let result = unsafe { libc::kill(id, signal) };
    assert_eq!(result, 0, "kill: {}", io::Error::last_os_error());
}

/// The child dies with the thread that started it: it must not outlive tests that were killed.
pub fn die_with_parent(command: &mut Command) {
    let ask = || check(kill_at_parents_death());
    // SAFETY: the closure makes one system call, which is allowed between fork and exec.
    unsafe { command.pre_exec(ask) };
}

fn kill_at_parents_death() -> i32 {
    // SAFETY: prctl with PR_SET_PDEATHSIG takes no pointer.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }
}

/// The child has `count` descriptors and no more.
pub fn limit_descriptors(command: &mut Command, count: u64) {
    let limit = move || check(set_descriptor_limit(count));
    // SAFETY: the closure makes one system call, which is allowed between fork and exec.
    unsafe { command.pre_exec(limit) };
}

fn set_descriptor_limit(count: u64) -> i32 {
    let limit = libc::rlimit { rlim_cur: count, rlim_max: count };
    // SAFETY: setrlimit reads the struct, which lives until the call returns.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }
}

/// Makes a pipe with a name in the place of `path`: whoever opens it waits for the other side.
pub fn make_pipe(path: &Path) {
    let _ = std::fs::remove_file(path);
    let name = CString::new(path.as_os_str().as_bytes()).expect("a path without NUL");
    // SAFETY: mkfifo reads the name, which lives until the call returns.
    let result = unsafe { libc::mkfifo(name.as_ptr(), 0o600) };
    assert_eq!(result, 0, "mkfifo: {}", io::Error::last_os_error());
}

/// The writing end of a named pipe, once somebody has opened it for reading.
pub fn writing_end(pipe: &Path) -> Option<File> {
    File::options().write(true).custom_flags(libc::O_NONBLOCK).open(pipe).ok()
}

/// Whether the process `id` has a handler for each of these signals.
pub fn catches(id: u32, signals: &[i32]) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    signals.iter().all(|signal| caught >> (signal - 1) & 1 == 1)
}

fn check(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The system calls of io_uring are refused to the child, as a container's profile refuses them.
pub fn refuse_io_uring(command: &mut Command) {
    let refused = [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];
    let filter = SeccompFilter::new(
        refused.into_iter().map(|call| (call, Vec::new())).collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        std::env::consts::ARCH.try_into().expect("a known architecture"),
    );
    let program: BpfProgram = filter.expect("a filter").try_into().expect("a program");
    let apply = move || seccompiler::apply_filter(&program).map_err(io::Error::other);
    // SAFETY: the closure makes system calls and reads memory that was prepared before the fork.
    unsafe { command.pre_exec(apply) };
}

/// The engines that this kernel has, as `process.engine` names them.
pub fn engines() -> &'static [&'static str] {
    if has_io_uring() { &["epoll", "io_uring", "tokio_uring"] } else { &["epoll"] }
}

/// Has the thread `thread` of a child make one system call, by ptrace: between two of its own, where it waits in one.
/// What the call gives. `None` where the kernel does not let us, or where nobody knows how.
#[cfg(target_arch = "x86_64")]
pub fn call_in(thread: u32, number: i64, arguments: [u64; 3]) -> Option<i64> {
    let thread = i32::try_from(thread).expect("a thread's id");
    super::limpet::poll(|| {
        match attached(thread, |before| made(thread, before, number, arguments)) {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => Some(None),
            Err(error) => panic!("ptrace: {error}"),
            Ok(called) => called.map(Some),
        }
    })
    .expect("the thread waits in a system call")
}

#[cfg(not(target_arch = "x86_64"))]
pub fn call_in(_: u32, _: i64, _: [u64; 3]) -> Option<i64> {
    None
}

/// Stops a thread, has `work` done with it, and lets it go on from where it was.
#[cfg(target_arch = "x86_64")]
fn attached<T>(
    thread: i32,
    work: impl FnOnce(&libc::user_regs_struct) -> io::Result<T>,
) -> io::Result<T> {
    trace(libc::PTRACE_SEIZE, thread, 0)?;
    trace(libc::PTRACE_INTERRUPT, thread, 0)?;
    wait_for_stop(thread)?;
    let before = registers(thread)?;
    let done = work(&before);
    // One that has ended meanwhile goes nowhere.
    let _ = set_registers(thread, &before).and_then(|()| trace(libc::PTRACE_DETACH, thread, 0));
    done
}

/// One step over the instruction by which the thread entered the kernel; `None` when it is not there.
#[cfg(target_arch = "x86_64")]
fn made(
    thread: i32,
    before: &libc::user_regs_struct,
    number: i64,
    arguments: [u64; 3],
) -> io::Result<Option<i64>> {
    const SYSCALL: [u8; 2] = [0x0F, 0x05];
    let at = before.rip - SYSCALL.len() as u64;
    let mut code = [0; 2];
    let memory = File::open(format!("/proc/{thread}/mem"))?;
    std::os::unix::fs::FileExt::read_exact_at(&memory, &mut code, at)?;
    if code != SYSCALL {
        return Ok(None);
    }
    let [rdi, rsi, rdx] = arguments;
    // Without a call that is under way, none is restarted before this one.
    let orig_rax = u64::MAX;
    let call =
        libc::user_regs_struct { rip: at, rax: number as u64, orig_rax, rdi, rsi, rdx, ..*before };
    set_registers(thread, &call)?;
    trace(libc::PTRACE_SINGLESTEP, thread, 0)?;
    // A thread that ends by the call is not seen to stop again.
    match wait_for_stop(thread)? {
        true => Ok(Some(registers(thread)?.rax as i64)),
        false => Ok(Some(0)),
    }
}

/// Whether it has stopped, not ended.
#[cfg(target_arch = "x86_64")]
fn wait_for_stop(thread: i32) -> io::Result<bool> {
    let mut status = 0;
    // SAFETY: waitpid writes the status, which lives until the call returns.
    let waited = unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL) };
    if waited == thread { Ok(libc::WIFSTOPPED(status)) } else { Err(io::Error::last_os_error()) }
}

#[cfg(target_arch = "x86_64")]
fn trace(request: libc::c_uint, thread: i32, data: usize) -> io::Result<()> {
    // SAFETY: these requests take numbers, or in `data` the place of registers that outlive the call.
    check(unsafe { libc::ptrace(request, thread, 0_usize, data) } as i32)
}

#[cfg(target_arch = "x86_64")]
fn registers(thread: i32) -> io::Result<libc::user_regs_struct> {
    // SAFETY: these registers are numbers, for which zero is a value.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    trace(libc::PTRACE_GETREGS, thread, (&raw mut registers).expose_provenance())?;
    Ok(registers)
}

#[cfg(target_arch = "x86_64")]
fn set_registers(thread: i32, registers: &libc::user_regs_struct) -> io::Result<()> {
    trace(libc::PTRACE_SETREGS, thread, (&raw const *registers).expose_provenance())
}

/// Whether this kernel lets the tests themselves make a ring.
pub fn has_io_uring() -> bool {
    let mut parameters = [0_u8; 120];
    // SAFETY: the kernel writes at most the 120 bytes of struct io_uring_params into the array.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, parameters.as_mut_ptr()) };
    let Some(ring) = i32::try_from(ring).ok().filter(|&ring| ring >= 0) else { return false };
    // SAFETY: the descriptor was just made here and nobody else has it.
    unsafe { libc::close(ring) };
    true
}
