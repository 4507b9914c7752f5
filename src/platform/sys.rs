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

/// Whether the kernel says that something (NTP) keeps the wall clock right; None
/// where it does not say. Not to be asked on Android, which ends apps that do.
#[must_use]
pub fn clock_is_kept() -> Option<bool> {
    #[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
    {
        /// The kernel's struct with room behind it, should a C library have a longer one.
        #[repr(C)]
        struct Room {
            timex: libc::timex,
            _spare: [u64; 32],
        }
        // SAFETY: all of it are integers and arrays of such, for which zeroes are values.
        let mut room: Room = unsafe { std::mem::zeroed() };
        // `modes` is 0: nothing is set, and no right is needed.
        // SAFETY: the pointer leads to a struct of ours that is large enough, writable
        // and not looked at by anyone else; the kernel keeps no pointer to it.
        let state = unsafe { libc::adjtimex(std::ptr::from_mut(&mut room).cast()) };
        (state >= 0).then_some(room.timex.status & libc::STA_UNSYNC == 0)
    }
    #[cfg(not(all(target_os = "linux", any(target_env = "gnu", target_env = "musl"))))]
    None
}

/// Maps the first bytes of a file for sharing, as a store needs it, and unmaps them
/// untouched.
///
/// # Errors
/// What mmap(2) says: ENODEV where the file system cannot do it.
pub fn map_shared(file: &impl AsFd) -> io::Result<()> {
    /// Any length will do: the kernel takes whole pages.
    const LENGTH: usize = 4096;
    // SAFETY: a new mapping at a place of the kernel's choice, which overlaps nothing
    // that is in use; nobody reads or writes through it.
    let place = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            LENGTH,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_fd().as_raw_fd(),
            0,
        )
    };
    if place == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: exactly what was mapped above, and no pointer into it was kept.
    unsafe { libc::munmap(place, LENGTH) };
    Ok(())
}
