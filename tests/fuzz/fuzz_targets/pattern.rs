//! Any pattern, asked of an image with names of every kind.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use monigo_fuzz::{
    elf::{Section, Symbol, write},
    symbols::{Image, pattern},
    with_image,
};

const TEXT: u64 = 0x40_1000;
const NAMES: [&str; 24] = [
    "main",
    "handle",
    "handle.cold",
    "handle.part.0",
    "handle.isra.0.constprop.1",
    "_ZN4shop5Order5totalEl",
    "_ZNK4shop5Order5totalEl",
    "_ZN4shop5twiceIiEET_S1_",
    "_ZN4shop5twiceIdEET_S1_",
    "_ZN4shopL6hiddenEv",
    "_ZN4shop5OrderD2Ev",
    "_ZN4shop5OrderlsEi",
    "_ZN3app4main17h0123456789abcdefE",
    "_ZN4core3ptr42drop_in_place$LT$alloc..string..String$GT$17h0123456789abcdefE",
    "_ZN56_$LT$shop..Apple$u20$as$u20$shop..Price$GT$5price17h0123456789abcdefE",
    "_ZN3app5fetch28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE",
    "_RNvCs1234_7mycrate3foo",
    "_RINvNtCs1234_7mycrate3bar7genericmEB4_",
    "main.(*Server).Handle",
    "main.Map[go.shape.int]",
    "main.main.func1",
    "github.com/a/b.(*C[...]).D-fm",
    "operator new",
    "weird [name] (with) *everything*",
];

static IMAGE: LazyLock<Arc<Image>> = LazyLock::new(|| {
    let text = vec![0xc3; NAMES.len() * 16];
    let sections = [Section {
        name: ".text",
        address: TEXT,
        code: true,
        bytes: &text,
    }];
    let symbols: Vec<Symbol<'_>> = NAMES
        .iter()
        .enumerate()
        .map(|(index, name)| Symbol {
            name,
            address: TEXT + 16 * index as u64,
            size: 16,
            function: true,
        })
        .collect();
    let mut opened = None;
    with_image(&write(&sections, &symbols), |image| opened = Some(image));
    let image = opened.expect("the image is well-formed");
    assert!(
        image.functions().len() >= NAMES.len() - 4,
        "{:?}",
        image.functions()
    );
    image
});

fuzz_target!(|text: &str| {
    match pattern::find(&IMAGE, text) {
        Ok(matches) => {
            if let Err(error) = matches.select(text.len() % 2 == 0) {
                assert!(!error.to_string().is_empty());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let _ = pattern::list(&IMAGE, Some(text));
});
