//! Free buffers: which are kept, and which keep their memory.

use crate::uring::tests::*;

#[test]
fn buffers_come_back_and_others_are_freed() {
    buffers::configure(65536, 2);
    let [a, b, c] = [buffers::small(), buffers::small(), buffers::small()];
    let kept = [a.as_ptr(), b.as_ptr(), c.as_ptr()];
    for mut buffer in [a, b, c] {
        buffer.push(1);
        buffers::give_back(buffer);
    }
    buffers::give_back(Vec::new());
    buffers::give_back(Vec::with_capacity(5000));
    let again = [buffers::small(), buffers::small()];
    assert!(again.iter().all(|buffer| buffer.is_empty() && buffer.capacity() == SMALL_BYTES));
    assert!(again.iter().all(|buffer| kept.contains(&buffer.as_ptr())));
    let large = buffers::large();
    assert_eq!(large.capacity(), 65536);
    let kept = large.as_ptr();
    buffers::give_back(large);
    let again = buffers::large();
    assert_eq!(again.as_ptr(), kept);
}

#[test]
fn buffers_that_nobody_needs_lose_their_memory_and_those_in_use_keep_it() {
    const PAGE: usize = 4096;
    buffers::configure(65536, 8);
    let is_resident = |page: &*const u8| {
        let mut state = 0;
        // SAFETY: mincore reads the state of one page, of a buffer that is kept.
        let result = unsafe { libc::mincore(page.cast_mut().cast(), PAGE, &raw mut state) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        state & 1 == 1
    };
    let filled = std::array::from_fn::<_, 8, _>(|_| {
        let mut buffer = buffers::large();
        buffer.resize(65536, 1);
        buffer
    });
    // A page that lies whole in each.
    let pages = filled.each_ref().map(|buffer| {
        let bytes = buffer.as_slice();
        bytes.get(bytes.as_ptr().align_offset(PAGE)..).map_or(bytes.as_ptr(), <[u8]>::as_ptr)
    });
    assert!(pages.iter().all(is_resident));
    filled.into_iter().for_each(buffers::give_back);
    buffers::trim();
    assert!(pages.iter().all(is_resident), "they were needed since the last look");
    for _ in 0..16 {
        // One of them is at work all the time.
        let mut busy = buffers::large();
        busy.resize(65536, 1);
        buffers::give_back(busy);
        buffers::trim();
    }
    assert_eq!(pages.iter().filter(|page| is_resident(page)).count(), 1);
    let again = std::array::from_fn::<_, 8, _>(|_| buffers::large());
    assert!(again.iter().all(|buffer| buffer.is_empty() && buffer.capacity() == 65536));
}
