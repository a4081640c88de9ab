//! The kernel interfaces no library wraps: the only file with `unsafe`.
#![allow(unsafe_code)] // the one place, see above

use std::io;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, Interest, ReadBuf};

/// Which side of a fork this is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Forked {
    Parent { child: u32 },
    Child,
}

/// Splits this process in two (fork(2)).
///
/// Must be called while there is one thread only: the child would keep the locks of threads it does not have.
///
/// # Errors
/// The kernel's: too many processes, no memory. [`io::ErrorKind::Other`] when there are other threads.
pub(crate) fn fork() -> io::Result<Forked> {
    if threads_of_this_process()? != 1 {
        return Err(io::Error::other("going to the background needs a process with one thread"));
    }
    // SAFETY: no other thread exists (checked above), so no lock is held by anyone who will not be in the child.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        child => Ok(Forked::Parent { child: child.unsigned_abs() }),
    }
}

fn threads_of_this_process() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// Gives up all supplementary groups (setgroups(2)), in every thread.
pub(crate) fn drop_supplementary_groups() -> io::Result<()> {
    // SAFETY: a length of 0 reads no memory.
    ok_or_errno(unsafe { libc::setgroups(0, std::ptr::null()) })
}

/// Real, effective and saved group of every thread (setresgid(2)).
pub(crate) fn set_group(id: u32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    ok_or_errno(unsafe { libc::setresgid(id, id, id) })
}

/// Real, effective and saved user of every thread (setresuid(2)). There is no way back from a user other than root.
pub(crate) fn set_user(id: u32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    ok_or_errno(unsafe { libc::setresuid(id, id, id) })
}

/// Gives the calling thread a root and a working directory of its own (unshare(2)); other threads keep theirs.
pub(crate) fn unshare_file_system_view() -> io::Result<()> {
    // SAFETY: takes a flag only; CLONE_FS touches no memory and no descriptor.
    ok_or_errno(unsafe { libc::unshare(libc::CLONE_FS) })
}

/// Lets the kernel choose a socket's port when it connects, not when it is bound (ip(7), IP_BIND_ADDRESS_NO_PORT; for IPv6
/// too).
pub(crate) fn bind_address_no_port(socket: &impl AsRawFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or_default();
    // SAFETY: the option reads one int, which `on` is, while this call lasts.
    ok_or_errno(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            std::ptr::from_ref(&on).cast(),
            size,
        )
    })
}

/// Closing the socket will say nothing to its peer (Linux, TCP_REPAIR).
///
/// # Errors
/// Without CAP_NET_ADMIN.
pub(crate) fn silence(socket: &impl AsRawFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or_default();
    // SAFETY: the option reads one int, which `on` is, while this call lasts.
    ok_or_errno(unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_REPAIR, std::ptr::from_ref(&on).cast(), size)
    })
}

/// The path that stands for an abstract unix socket: a zero byte, the name, and zeros up to the longest name there can be,
/// as HAProxy fills it up (unix(7): they all count).
pub(crate) fn abstract_path(name: &Path) -> PathBuf {
    let mut path = vec![0];
    path.extend_from_slice(name.as_os_str().as_bytes());
    path.resize(ABSTRACT_PATH, 0);
    PathBuf::from(std::ffi::OsString::from_vec(path))
}

/// The whole of `sun_path`.
const ABSTRACT_PATH: usize = 108;

/// The name of an abstract unix socket, if that is what a path stands for.
pub(crate) fn abstract_name(path: &Path) -> Option<String> {
    let name = path.as_os_str().as_bytes().strip_prefix(b"\0")?;
    let end = name.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    Some(String::from_utf8_lossy(name.get(..end).unwrap_or_default()).into_owned())
}

/// Makes stdin, stdout and stderr mean `file` (dup2(2)).
pub(crate) fn replace_stdio(file: BorrowedFd<'_>) -> io::Result<()> {
    for standard in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: `file` is open while borrowed, and nobody owns the standard descriptors: they are always open.
        if unsafe { libc::dup2(file.as_raw_fd(), standard) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Has the event loop watch a socket, for as long as what is returned lives. The socket must not block.
///
/// # Errors
/// The kernel has no room for one more (epoll_ctl(2)).
pub(crate) fn watch(socket: Rc<OwnedFd>, interest: Interest) -> io::Result<AsyncFd<Rc<OwnedFd>>> {
    // SAFETY: `Rc<OwnedFd>` keeps the one descriptor it has open, and cannot give it up while it is held here.
    Ok(unsafe { AsyncFd::register_with_interest(socket, interest) }?)
}

fn ok_or_errno(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads once into the spare capacity of `buffer` (all of it), without zeroing it first. `Ready(Ok(0))` is the end of the
/// stream, or a buffer without spare capacity: callers check that first.
pub(crate) fn poll_read_into<S: AsyncRead + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    buffer: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    let start = buffer.len();
    let mut spare = ReadBuf::uninit(buffer.spare_capacity_mut());
    match Pin::new(stream).poll_read(cx, &mut spare) {
        Poll::Ready(Ok(())) => {
            let read = spare.filled().len();
            // SAFETY: `ReadBuf` guarantees that its first `filled` bytes are initialised, and they lie right behind `start`
            // within the capacity.
            unsafe { buffer.set_len(start + read) };
            Poll::Ready(Ok(read))
        }
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Pending => Poll::Pending,
    }
}

/// Seconds the local time zone is ahead of UTC at this moment, given in seconds since the epoch: `TZ`, else
/// /etc/localtime, as HAProxy prints its dates. 0 when the C library cannot tell.
///
/// The `time` crate refuses to answer once a second thread runs, because another thread may call `setenv`; this
/// program never does.
pub(crate) fn local_offset(at: i64) -> i32 {
    let mut parts = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the call; `localtime_r` fills `parts` or returns null, and a zeroed `tm` is
    // a valid value either way.
    let parts = unsafe {
        if libc::localtime_r(&at, parts.as_mut_ptr()).is_null() {
            return 0;
        }
        parts.assume_init()
    };
    i32::try_from(parts.tm_gmtoff).unwrap_or(0)
}

/// Bytes a [`Room`] has for a future.
pub(crate) const ROOM: usize = 3 * 1024;

/// Memory for one future after the other, so that none has to be asked of the allocator.
#[derive(Debug)]
#[repr(align(16))]
pub(crate) struct Room([MaybeUninit<u8>; ROOM]);

/// A future in a [`Room`], pinned there for as long as it lives.
pub(crate) struct InRoom<F> {
    room: Box<Room>,
    future: PhantomData<F>,
}

impl Room {
    pub fn new() -> Box<Self> {
        Box::new(Room([MaybeUninit::uninit(); ROOM]))
    }

    /// A future larger than [`ROOM`] does not compile.
    pub fn place<F: Future>(mut self: Box<Self>, future: F) -> InRoom<F> {
        const { assert!(size_of::<F>() <= ROOM && align_of::<F>() <= align_of::<Room>()) };
        let place = self.0.as_mut_ptr().cast::<F>();
        // SAFETY: the room is large enough and aligned (checked above), and nothing else is in it: `InRoom` owns it.
        unsafe { place.write(future) };
        InRoom { room: self, future: PhantomData }
    }
}

impl<F: Future> InRoom<F> {
    /// The future where it was placed. It is never moved from there.
    pub fn future(&mut self) -> Pin<&mut F> {
        // SAFETY: `place` has put a future there, which stays valid and unmoved until `leave` or `drop` ends it; the
        // room is on the heap, so moving this handle does not move it.
        unsafe { Pin::new_unchecked(&mut *self.room.0.as_mut_ptr().cast::<F>()) }
    }

    /// Ends the future and gives its room back.
    pub fn leave(self) -> Box<Room> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not used again, so the future is dropped once and the room read once. A future that panics
        // while it is dropped leaks its room.
        unsafe {
            std::ptr::drop_in_place(this.room.0.as_mut_ptr().cast::<F>());
            std::ptr::read(&raw const this.room)
        }
    }
}

impl<F> Drop for InRoom<F> {
    fn drop(&mut self) {
        // SAFETY: `leave` forgets the handle, so the future is still there.
        unsafe { std::ptr::drop_in_place(self.room.0.as_mut_ptr().cast::<F>()) };
    }
}

/// Counts what threads ask of the allocator, in tests.
#[cfg(test)]
pub(crate) mod counting {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    #[global_allocator]
    static COUNTING: Counting = Counting;

    thread_local! {
        static COUNTER: Cell<Option<&'static AtomicU64>> = const { Cell::new(None) };
    }

    struct Counting;

    // SAFETY: all is the system allocator's; counting allocates nothing.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            count();
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
            unsafe { System.dealloc(memory, layout) }
        }

        unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            count();
            unsafe { System.realloc(memory, layout, size) }
        }
    }

    fn count() {
        // A thread that is ending has no counter any more.
        if let Ok(Some(counter)) = COUNTER.try_with(Cell::get) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// From now on this thread's allocations are counted there.
    pub fn count_this_thread(counter: &'static AtomicU64) {
        COUNTER.set(Some(counter));
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::rc::Rc;
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_room_is_used_by_one_future_after_the_other() {
        let mut cx = Context::from_waker(Waker::noop());
        let held = Rc::new(());
        let mut first = Room::new().place({
            let held = Rc::clone(&held);
            async move {
                pending::<()>().await;
                drop(held);
            }
        });
        assert!(first.future().poll(&mut cx).is_pending());
        assert_eq!(Rc::strong_count(&held), 2);
        let room = first.leave();
        assert_eq!(Rc::strong_count(&held), 1, "leaving drops the future");
        let mut second = room.place(ready(7));
        assert_eq!(second.future().poll(&mut cx), Poll::Ready(7));
        let third = second.leave().place({
            let held = Rc::clone(&held);
            async move { drop(held) }
        });
        drop(third);
        assert_eq!(Rc::strong_count(&held), 1, "so does dropping the handle");
    }
}
