//! The calls into the C library that no safe wrapper at hand covers.
#![allow(unsafe_code)]

use nix::libc;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// An option of level `IPPROTO_TCP` whose value is a C `int`.
#[derive(Clone, Copy, Debug)]
pub enum TcpOption {
    /// `TCP_USER_TIMEOUT`, in milliseconds.
    UserTimeout,
    /// `TCP_NOTSENT_LOWAT`, in bytes.
    UnsentLowWater,
}

/// Sets a TCP option. Does nothing where the system does not have it (anything
/// but Linux and Android).
///
/// # Errors
/// What setsockopt(2) says; EINVAL if `value` is above `i32::MAX`.
pub fn set_tcp(fd: &impl AsFd, option: TcpOption, value: u32) -> io::Result<()> {
    let name = match option {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        TcpOption::UserTimeout => libc::TCP_USER_TIMEOUT,
        #[cfg(any(target_os = "linux", target_os = "android"))]
        TcpOption::UnsentLowWater => libc::TCP_NOTSENT_LOWAT,
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        _ => return Ok(()),
    };
    let value = libc::c_int::try_from(value).map_err(|_| io::ErrorKind::InvalidInput)?;
    // c_int is 4 bytes on every supported target.
    let size = std::mem::size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open for as long as `fd` is borrowed; the kernel
    // reads `size` bytes at the address of `value`, a local that outlives the
    // call, and writes nothing.
    let result = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            name,
            std::ptr::from_ref(&value).cast(),
            size,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Tells the C library's allocator to keep up to so many free bytes at the end of
/// a heap, and to leave `pad` of them when it gives back what is more. Does
/// nothing where that is not glibc.
pub fn keep_free(bytes: i32, pad: i32) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: sets two numbers in the allocator, under its own lock; no memory is
    // passed or returned. A value that it does not like is ignored.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, bytes);
        libc::mallopt(libc::M_TOP_PAD, pad);
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = (bytes, pad);
}

/// Gives all free pages of the C library's heaps back to the system. Does
/// nothing where that is not glibc.
pub fn trim_heaps() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: touches free memory alone, under the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
