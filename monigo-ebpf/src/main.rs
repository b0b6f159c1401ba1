#![no_std]
#![no_main]
//! BPF
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
