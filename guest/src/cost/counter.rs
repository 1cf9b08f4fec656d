// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts the instructions of one system call.
//!
//! Under QEMU's `-icount shift=0` the time stamp counter advances by one with each executed
//! instruction. Reading it, the call and reading it again is one block of assembly, so that what
//! a compiler puts around it is never counted and another build of the guest counts the same.

use std::arch::asm;

use nix::libc::c_long;

/// One measured call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    /// What the system call returned: a negated errno below 0.
    pub(crate) returned: i64,
    /// Ticks from the first reading to the second, with [`nothing`] still in it.
    pub(crate) ticks: u64,
}

/// The block around `$body`: arguments in rdi, rsi, r8 (moved to rdx, which reading the counter
/// uses) and r10, the number in r9.
macro_rules! counted {
    ($number:expr, $arguments:expr, $($body:literal),*) => {{
        let [first, second, third, fourth]: [u64; 4] = $arguments;
        let (begun, returned, low, high): (u64, i64, u64, u64);
        // SAFETY: reads the time stamp counter and runs `$body`; what the kernel overwrites in a
        // system call (rax, rcx, r11) and what the block does are declared. That the arguments
        // fit the system call is the caller's promise.
        unsafe {
            asm!(
                "rdtsc",
                "shl rdx, 32",
                "lea r12, [rdx + rax]",
                "mov rax, r9",
                "mov rdx, r8",
                $($body,)*
                "mov r13, rax",
                "rdtsc",
                in("rdi") first,
                in("rsi") second,
                in("r8") third,
                in("r10") fourth,
                in("r9") $number,
                lateout("rax") low,
                lateout("rdx") high,
                lateout("r12") begun,
                lateout("r13") returned,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
        Counted { returned, ticks: (high << 32 | low).wrapping_sub(begun) }
    }};
}

/// Makes one system call.
///
/// # Safety
/// Pointers among the arguments must be what the system call expects, as in a call through libc.
pub(crate) unsafe fn call(number: c_long, arguments: [u64; 4]) -> Counted {
    counted!(number, arguments, "syscall")
}

/// Writes one byte, which is a page fault where the page is not there yet.
///
/// # Safety
/// The byte must be writable and not shared.
pub(crate) unsafe fn touch(byte: *mut u8) -> Counted {
    counted!(0_u64, [byte as u64, 0, 0, 0], "mov byte ptr [rdi], 1")
}

/// No system call: what the block itself takes.
pub(crate) fn nothing() -> Counted {
    counted!(0_u64, [0; 4], "")
}

/// [`protocol::COST_KNOWN_INSTRUCTIONS`] instructions in place of the system call.
pub(crate) fn known() -> Counted {
    counted!(0_u64, [0; 4], ".rept 1000", "nop", ".endr")
}

const _: () = assert!(protocol::COST_KNOWN_INSTRUCTIONS == 1000, "as often as in known()");

#[cfg(test)]
mod tests {
    use nix::libc;

    use super::*;

    #[test]
    fn what_the_kernel_returns_comes_through() {
        // SAFETY: no pointers.
        let counted = unsafe { call(libc::SYS_getpid, [0; 4]) };
        assert_eq!(counted.returned, i64::from(std::process::id()));
        let path = c"/no/such/file";
        let arguments = [libc::AT_FDCWD as u64, path.as_ptr() as u64, libc::O_RDONLY as u64, 0];
        // SAFETY: the path ends with NUL.
        let counted = unsafe { call(libc::SYS_openat, arguments) };
        assert_eq!(counted.returned, -i64::from(libc::ENOENT));
    }

    #[test]
    fn a_touched_byte_is_written() {
        let mut byte = 0_u8;
        // SAFETY: a live byte.
        let counted = unsafe { touch(&raw mut byte) };
        assert_eq!((byte, counted.returned), (1, 0));
    }

    #[test]
    fn the_third_argument_survives_the_counter() {
        let mut pipe = [0_i32; 2];
        // SAFETY: room for two descriptors.
        let made = unsafe { call(libc::SYS_pipe2, [pipe.as_mut_ptr() as u64, 0, 0, 0]) };
        assert_eq!(made.returned, 0);
        let bytes = [7_u8; 5];
        // SAFETY: five readable bytes.
        let written =
            unsafe { call(libc::SYS_write, [pipe[1] as u64, bytes.as_ptr() as u64, 5, 0]) };
        assert_eq!(written.returned, 5);
    }
}
