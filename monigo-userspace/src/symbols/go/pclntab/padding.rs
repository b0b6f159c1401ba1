//! Where the code of a function ends and what pads it begins.

/// Length of a function's code without the int3 bytes that pad it.
pub(super) fn trimmed_length(code: &[u8]) -> usize {
    const INT3: u8 = 0xcc;
    let end = code.len() - code.iter().rev().take_while(|byte| **byte == INT3).count();
    if end == code.len() || end == 0 {
        return end;
    }
    // The last instruction may itself end with 0xcc: a short jump back by 52 bytes, which is what
    // the loop after `morestack` often is. Only decoding tells.
    let short_jump = matches!(code[end - 1], 0xeb | 0x70..=0x7f | 0xe0..=0xe3);
    if !short_jump {
        return end;
    }
    let mut decoder = iced_x86::Decoder::new(64, code, iced_x86::DecoderOptions::NONE);
    while decoder.can_decode() && decoder.position() < end {
        if decoder.decode().is_invalid() {
            return end;
        }
    }
    decoder.position().max(end)
}

/// The same on arm64, where zeros pad.
pub(super) fn trimmed_words(code: &[u8]) -> usize {
    let words = code.chunks_exact(4).rev();
    code.len() - 4 * words.take_while(|word| **word == [0; 4]).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_of_arm64_is_trimmed() {
        // ret, padding
        assert_eq!(trimmed_words(&[0xc0, 3, 0x5f, 0xd6, 0, 0, 0, 0]), 4);
        assert_eq!(trimmed_words(&[0, 0, 0x5f, 0xd6]), 4);
        assert_eq!(trimmed_words(&[0; 8]), 0);
        assert_eq!(trimmed_words(&[]), 0);
    }

    #[test]
    fn padding_is_trimmed() {
        // ret, padding
        assert_eq!(trimmed_length(&[0xc3, 0xcc, 0xcc]), 1);
        // nop, jmp -52, padding: the first 0xcc belongs to the jump.
        assert_eq!(trimmed_length(&[0x90, 0xeb, 0xcc, 0xcc, 0xcc]), 3);
        // mov al, 0xeb; padding
        assert_eq!(trimmed_length(&[0xb0, 0xeb, 0xcc]), 2);
        assert_eq!(trimmed_length(&[0xcc, 0xcc]), 0);
        assert_eq!(trimmed_length(&[]), 0);
    }
}
