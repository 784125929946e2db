//! Socket options that socket2 does not offer.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// `TCP_DEFER_ACCEPT`: a connection is accepted only once data is there, for at most `wait`; zero = off.
///
/// # Errors
/// What setsockopt(2) says.
pub fn set_defer_accept(socket: &socket2::Socket, wait: Duration) -> io::Result<()> {
    let seconds = if wait.is_zero() { 0 } else { wait.as_secs().max(1) };
    let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
    set_tcp_option(socket, libc::TCP_DEFER_ACCEPT, seconds)
}

/// `TCP_FASTOPEN` with a queue of `queue_length` connections that have not finished the handshake.
///
/// # Errors
/// What setsockopt(2) says.
pub fn set_fast_open(socket: &socket2::Socket, queue_length: u32) -> io::Result<()> {
    let length = i32::try_from(queue_length).unwrap_or(i32::MAX);
    set_tcp_option(socket, libc::TCP_FASTOPEN, length)
}

fn set_tcp_option(socket: &socket2::Socket, option: i32, value: i32) -> io::Result<()> {
    // SAFETY: the option's value is an int that outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Most descriptors this process may have open (`RLIMIT_NOFILE`, soft), raised to the hard limit first.
pub fn raise_descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit writes one rlimit.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return 1024;
    }
    if limit.rlim_cur < limit.rlim_max {
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
        // SAFETY: setrlimit reads one rlimit.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
            return raised.rlim_cur;
        }
    }
    limit.rlim_cur
}

/// Keeps transparent huge pages out of this process (`PR_SET_THP_DISABLE`): the kernel would fill the
/// holes that freed connections leave, and memory would not return after a peak.
pub fn disable_huge_pages() {
    // SAFETY: prctl with PR_SET_THP_DISABLE takes no pointer; where the kernel refuses nothing changes.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

/// Bytes that a socket has sent or will send and that its peer has not acknowledged.
pub(super) fn queued_bytes(socket: &socket2::Socket) -> Option<u32> {
    let mut count: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (the same number as TIOCOUTQ) writes one int.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
    if result == 0 { u32::try_from(count).ok() } else { None }
}

/// How a connection has ended, in the events of poll(2): POLLRDHUP, POLLHUP, POLLERR; 0 for one that has not.
pub(super) fn hang_up(socket: &socket2::Socket) -> libc::c_short {
    let mut asked = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: poll reads and writes the one pollfd, and does not wait.
    let result = unsafe { libc::poll(&raw mut asked, 1, 0) };
    if result > 0 { asked.revents } else { 0 }
}

/// Dissolves a TCP connection with a reset (connect(2) to `AF_UNSPEC`): unlike close(2) after `SO_LINGER`, it takes
/// effect while other references to the socket exist, and a later shut-down cannot turn it into a clean end.
///
/// # Errors
/// The error of connect(2): only TCP sockets can be dissolved.
pub(super) fn disconnect(socket: &socket2::Socket) -> io::Result<()> {
    // SAFETY: a sockaddr is integers, so zeros are a valid one.
    let mut nobody: libc::sockaddr = unsafe { std::mem::zeroed() };
    nobody.sa_family = libc::AF_UNSPEC as libc::sa_family_t;
    let length = size_of::<libc::sockaddr>() as libc::socklen_t;
    // SAFETY: connect reads one sockaddr.
    let result = unsafe { libc::connect(socket.as_raw_fd(), &raw const nobody, length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets the system take the memory of a free buffer back (`MADV_DONTNEED`), as far as it fills whole pages:
/// the buffer stays, and finds zeroes when it is used next.
pub(super) fn give_back_pages(buffer: &mut Vec<u8>) {
    buffer.clear();
    let spare = buffer.spare_capacity_mut();
    // SAFETY: sysconf has no preconditions.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let Ok(page) = usize::try_from(page) else { return };
    let before = spare.as_ptr().align_offset(page);
    let bytes = spare.len().saturating_sub(before) / page * page;
    if let Some(pages) = spare.get_mut(before..before + bytes).filter(|pages| !pages.is_empty()) {
        // SAFETY: the pages lie in the spare capacity of a buffer that we borrow exclusively, and its uninitialised
        // content is never read. Where the kernel refuses, nothing changes.
        unsafe { libc::madvise(pages.as_mut_ptr().cast(), pages.len(), libc::MADV_DONTNEED) };
    }
}
