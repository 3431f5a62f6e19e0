//! The codecs against other implementations' bytes, against cut and changed bytes, and against bombs.

use std::io::Write as _;

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use super::*;

const COMPRESSING: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
const MIB: usize = 1 << 20;

/// Something between text and noise, with repetition near and far.
fn sample(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let mut out = Vec::with_capacity(len + 16);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        match state % 4 {
            0 => out.extend_from_slice(&state.to_le_bytes()),
            1 => out.extend_from_slice(b"a stream of words "),
            2 => out.extend_from_slice(&[state as u8; 9]),
            _ => {
                let from = (state as usize >> 3) % (out.len() + 1);
                let to = out.len().min(from + 30);
                out.extend_from_within(from..to);
            }
        }
    }
    out.truncate(len);
    out
}

fn uncompress(codec: Codec, packed: &[u8], limit: usize) -> Result<Bytes, BatchError> {
    codec.uncompress(&Bytes::copy_from_slice(packed), limit)
}

fn lz4_frame(info: FrameInfo, raw: &[u8]) -> Vec<u8> {
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(raw).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_size_around_a_block_comes_back() {
    let raw = sample(300_000);
    for codec in Codec::ALL {
        for len in [0, 1, 2, 32_767, 32_768, 32_769, 65_534, 65_535, 65_536, 65_537, 131_072, 300_000] {
            let packed = codec.compress(&raw[..len]);
            assert_eq!(uncompress(codec, &packed, len).unwrap(), raw[..len], "{codec:?} {len}");
        }
    }
}

#[test]
fn the_limit_is_exact() {
    let raw = sample(200_000);
    for codec in Codec::ALL {
        let packed = codec.compress(&raw);
        assert_eq!(uncompress(codec, &packed, raw.len()).unwrap().len(), raw.len(), "{codec:?}");
        let limit = raw.len() - 1;
        assert_eq!(uncompress(codec, &packed, limit), Err(BatchError::Large { limit }), "{codec:?}");
    }
}

#[test]
fn a_compressors_kept_state_does_not_leak_into_the_next_batch() {
    let (long, short) = (sample(500_000), sample(90));
    for codec in COMPRESSING {
        let first = codec.compress(&short);
        codec.compress(&long);
        assert_eq!(codec.compress(&short), first, "{codec:?}");
        // After a failure in the middle of the next.
        let packed = codec.compress(&long);
        assert!(uncompress(codec, &packed[..packed.len() / 2], MIB).is_err(), "{codec:?}");
        assert_eq!(uncompress(codec, &first, 90).unwrap(), short, "{codec:?}");
    }
}

#[test]
fn incompressible_records_stay_as_they_are() {
    let noise: Vec<u8> = (0..40u32).flat_map(|i| i.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
    for codec in COMPRESSING {
        let batch = build(&[Record { value: Some(noise.clone().into()), ..Record::default() }], codec);
        assert_eq!(batch.header().codec, Codec::None, "{codec:?}");
    }
}

#[test]
fn other_libraries_read_what_we_compress() {
    let raw = sample(150_000);
    let mut gzip = Vec::new();
    std::io::copy(&mut flate2::read::GzDecoder::new(&Codec::Gzip.compress(&raw)[..]), &mut gzip).unwrap();
    assert_eq!(gzip, raw);
    // This reader compares the header's checksum.
    let mut lz4 = Vec::new();
    let packed = Codec::Lz4.compress(&raw);
    std::io::copy(&mut lz4_flex::frame::FrameDecoder::new(&packed[..]), &mut lz4).unwrap();
    assert_eq!(lz4, raw);
    assert_eq!(::zstd::bulk::decompress(&Codec::Zstd.compress(&raw), raw.len()).unwrap(), raw);
}

#[test]
fn snappy_comes_raw_and_in_xerials_framing() {
    // A record as snappy-java wrote it, in both.
    let raw = b"\x0d\x30\x18\x00\x00\x00\x01\x0csdfdsf\x00";
    let framed = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x0f\x0d\x30\x18\x00\x00\x00\x01\x0csdfdsf\x00";
    let record = b"\x18\x00\x00\x00\x01\x0csdfdsf\x00";
    assert_eq!(uncompress(Codec::Snappy, raw, 100).unwrap()[..], record[..]);
    assert_eq!(uncompress(Codec::Snappy, framed, 100).unwrap()[..], record[..]);
    assert_eq!(Codec::Snappy.compress(record)[..], framed[..]);
}

#[test]
fn xerials_blocks_are_32_kib() {
    let packed = Codec::Snappy.compress(&[0; 70_000]);
    let mut left = &packed[16..];
    let mut sizes = Vec::new();
    while let Some((len, rest)) = left.split_first_chunk() {
        let (block, rest) = rest.split_at(u32::from_be_bytes(*len) as usize);
        sizes.push(snap::raw::decompress_len(block).unwrap());
        left = rest;
    }
    assert_eq!(sizes, [32_768, 32_768, 4_464]);
}

#[test]
fn every_kind_of_lz4_frame_is_read() {
    let raw = sample(700_000);
    for block_size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
        for block_mode in [BlockMode::Independent, BlockMode::Linked] {
            for bits in 0..8 {
                let info = FrameInfo::new()
                    .block_size(block_size)
                    .block_mode(block_mode)
                    .content_checksum(bits & 1 != 0)
                    .block_checksums(bits & 2 != 0)
                    .content_size((bits & 4 != 0).then_some(raw.len() as u64));
                let packed = lz4_frame(info, &raw);
                let name = format!("{block_size:?} {block_mode:?} {bits}");
                assert_eq!(uncompress(Codec::Lz4, &packed, MIB).unwrap(), raw, "{name}");
                let limit = raw.len() - 1;
                assert_eq!(
                    uncompress(Codec::Lz4, &packed, limit),
                    Err(BatchError::Large { limit }),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn a_wrong_checksum_inside_is_found() {
    let raw = sample(1_000);
    let mut gzip = Codec::Gzip.compress(&raw).to_vec();
    let at = gzip.len() - 8;
    gzip[at] ^= 1;
    let error = BatchError::Malformed("gzip that does not uncompress");
    assert_eq!(uncompress(Codec::Gzip, &gzip, MIB), Err(error));

    let mut lz4 = lz4_frame(FrameInfo::new().content_checksum(true), &raw);
    let at = lz4.len() - 1;
    lz4[at] ^= 1;
    let error = BatchError::Malformed("lz4 frame that does not uncompress");
    assert_eq!(uncompress(Codec::Lz4, &lz4, MIB), Err(error));

    let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(&raw).unwrap();
    let mut zstd = encoder.finish().unwrap();
    assert_eq!(uncompress(Codec::Zstd, &zstd, MIB).unwrap(), raw);
    let at = zstd.len() - 1;
    zstd[at] ^= 1;
    let error = BatchError::Malformed("zstd that does not uncompress");
    assert_eq!(uncompress(Codec::Zstd, &zstd, MIB), Err(error));
}

#[test]
fn a_zstd_frame_need_not_say_what_is_in_it() {
    let raw = sample(900_000);
    for level in [1, 3, 19] {
        let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), level).unwrap();
        for piece in raw.chunks(7_000) {
            encoder.write_all(piece).unwrap();
        }
        let packed = encoder.finish().unwrap();
        assert_eq!(uncompress(Codec::Zstd, &packed, MIB).unwrap(), raw, "level {level}");
    }
}

#[test]
fn a_zstd_frame_with_the_window_of_level_22_is_read_whatever_the_limit() {
    let raw = sample(50_000);
    let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&raw).unwrap();
    encoder.flush().unwrap();
    let packed = encoder.finish().unwrap();
    assert_eq!(packed[5] >> 3, 27 - 10, "the header asks for it");
    assert_eq!(uncompress(Codec::Zstd, &packed, MIB).unwrap(), raw);
}

#[test]
fn gzip_members_and_zstd_frames_in_a_row_are_one_text() {
    for codec in [Codec::Gzip, Codec::Zstd] {
        let packed = [codec.compress(b"one, "), codec.compress(b"two")].concat();
        assert_eq!(uncompress(codec, &packed, 8).unwrap(), "one, two");
        assert_eq!(uncompress(codec, &packed, 7), Err(BatchError::Large { limit: 7 }));
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    let after = |codec: Codec| [&codec.compress(b"text")[..], &[1, 2, 3, 4, 5]].concat();
    let refused = |codec| uncompress(codec, &after(codec), 100).unwrap_err();
    assert_eq!(refused(Codec::Gzip), BatchError::Malformed("gzip that does not uncompress"));
    assert_eq!(refused(Codec::Snappy), BatchError::Malformed("snappy cut short"));
    assert_eq!(refused(Codec::Lz4), BatchError::Malformed("bytes after the lz4 frame"));
    assert_eq!(refused(Codec::Zstd), BatchError::Malformed("zstd without its magic number"));
}

#[test]
fn what_is_cut_short_never_passes_for_the_whole() {
    let raw = sample(70_000);
    let checked = lz4_frame(FrameInfo::new().content_checksum(true), &raw);
    let all = COMPRESSING.map(|codec| (codec, codec.compress(&raw)));
    for (codec, packed) in all.into_iter().chain([(Codec::Lz4, checked.into())]) {
        let near_the_ends = (1..200).chain(packed.len() - 200..packed.len());
        for len in near_the_ends.chain((200..packed.len()).step_by(997)) {
            let out = uncompress(codec, &packed[..len], MIB);
            assert!(out.as_ref().map_or(true, |out| out.len() < raw.len()), "{codec:?} {len}");
            assert!(out.is_err() || codec == Codec::Snappy, "{codec:?} {len}: only xerial has no end mark");
        }
    }
}

proptest! {
    #[test]
    fn changed_bytes_give_an_error_or_other_bytes_and_never_a_panic(
        at in 0usize..10_000, to in any::<u8>(), len in 1usize..5_000, codec in 0usize..4,
    ) {
        let codec = COMPRESSING[codec];
        let mut packed = codec.compress(&sample(len)).to_vec();
        let at = at % packed.len();
        packed[at] = to;
        if let Ok(out) = uncompress(codec, &packed, 100_000) {
            prop_assert!(out.len() <= 100_000);
        }
    }

    #[test]
    fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..300), codec in 0usize..4) {
        // Behind the first bytes of a real one, or it would be refused at once.
        let codec = COMPRESSING[codec];
        let start = &codec.compress(b"start of a payload")[..11];
        for packed in [noise.clone(), [start, &noise].concat()] {
            if let Ok(out) = uncompress(codec, &packed, 100_000) {
                prop_assert!(out.len() <= 100_000);
            }
        }
    }
}

// === bombs: what they would become fits no memory, so a test that ends has not tried ===

fn repeated(start: &[u8], middle: &[u8], times: usize) -> Vec<u8> {
    [start, &middle.repeat(times)].concat()
}

#[test]
fn a_gzip_bomb_of_4_gib_ends_at_the_limit() {
    let member = Codec::Gzip.compress(&vec![0; 64 * MIB]);
    assert!(member.len() < 70_000);
    let bomb = repeated(&[], &member, 64);
    assert_eq!(uncompress(Codec::Gzip, &bomb, MIB), Err(BatchError::Large { limit: MIB }));
}

#[test]
fn a_snappy_bomb_ends_at_the_limit_in_both_framings() {
    let framed = Codec::Snappy.compress(&vec![0; 64 * MIB]);
    assert_eq!(uncompress(Codec::Snappy, &framed, MIB), Err(BatchError::Large { limit: MIB }));
    let raw = snap::raw::Encoder::new().compress_vec(&vec![0; 64 * MIB]).unwrap();
    assert!(raw.len() < 4 * MIB);
    assert_eq!(uncompress(Codec::Snappy, &raw, MIB), Err(BatchError::Large { limit: MIB }));
}

#[test]
fn a_snappy_block_that_claims_more_than_it_can_hold_reserves_nothing() {
    // 4 GiB - 1, said in five bytes.
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
    let error = BatchError::Malformed("snappy that does not uncompress");
    assert_eq!(uncompress(Codec::Snappy, &claim, usize::MAX), Err(error));
    assert_eq!(uncompress(Codec::Snappy, &claim, 1000), Err(BatchError::Large { limit: 1000 }));
}

#[test]
fn an_lz4_bomb_of_every_kind_ends_at_the_limit() {
    let block = lz4_frame(FrameInfo::new().block_size(BlockSize::Max64KB), &vec![0; 64 << 10]);
    let (start, block) = (&block[..7], &block[7..block.len() - 4]);
    // 4 MiB that would be 1 GiB.
    let bomb = repeated(start, block, 16_384);
    assert!(bomb.len() < 5 * MIB);
    assert_eq!(uncompress(Codec::Lz4, &bomb, MIB), Err(BatchError::Large { limit: MIB }));
    for block_mode in [BlockMode::Independent, BlockMode::Linked] {
        let info =
            FrameInfo::new().block_size(BlockSize::Max4MB).block_mode(block_mode).content_checksum(true);
        let bomb = lz4_frame(info, &vec![0; 64 * MIB]);
        assert_eq!(uncompress(Codec::Lz4, &bomb, MIB), Err(BatchError::Large { limit: MIB }));
    }
}

/// A frame without its size and blocks that each make 128 KiB out of 4 bytes.
fn zstd_bomb(blocks: usize) -> Vec<u8> {
    let window_of_128_kib = 7 << 3;
    let start = [0x28, 0xb5, 0x2f, 0xfd, 0, window_of_128_kib];
    let field = (131_072u32 << 3) | (1 << 1);
    let [a, b, c, _] = field.to_le_bytes();
    repeated(&start, &[a, b, c, 0], blocks)
}

#[test]
fn a_zstd_bomb_of_128_gib_ends_at_the_limit() {
    let bomb = zstd_bomb(1 << 20);
    assert_eq!(bomb.len(), 6 + 4 * MIB);
    assert_eq!(uncompress(Codec::Zstd, &bomb, 32 * MIB), Err(BatchError::Large { limit: 32 * MIB }));
}

#[test]
fn a_zstd_frame_that_claims_more_than_it_has_reserves_nothing() {
    // One segment, a size of eight bytes, and an empty last block.
    let frame = |size: u64| {
        let start = [0x28, 0xb5, 0x2f, 0xfd, 0b1110_0000];
        [&start[..], &size.to_le_bytes(), &[1, 0, 0]].concat()
    };
    assert_eq!(uncompress(Codec::Zstd, &frame(1 << 50), 1 << 40), Err(BatchError::Large { limit: 1 << 40 }));
    let error = Err(BatchError::Malformed("zstd that does not uncompress"));
    assert_eq!(uncompress(Codec::Zstd, &frame(1 << 39), 1 << 40), error);
    // A window of 256 MiB, then one of 3.75 TiB instead.
    let window = |size: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, size, 1, 0, 0];
    assert_eq!(uncompress(Codec::Zstd, &window(18 << 3), 1 << 40), error);
    let error = Err(BatchError::Malformed("zstd with a broken header"));
    assert_eq!(uncompress(Codec::Zstd, &window(0xff), 1 << 40), error);
}

#[test]
fn zstds_formats_of_old_are_refused() {
    for version in 0x22..=0x27 {
        let start = [version, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0, 0];
        assert!(matches!(uncompress(Codec::Zstd, &start, MIB), Err(BatchError::Malformed(_))), "{version:x}");
    }
}

#[test]
fn a_bomb_in_a_batch_ends_at_the_limit() {
    let record = Record { value: Some(vec![0; MIB].into()), ..Record::default() };
    for codec in COMPRESSING {
        let batch = build(std::slice::from_ref(&record), codec);
        assert!(batch.bytes().len() < MIB / 15, "{codec:?}");
        assert_eq!(batch.payload(1000).unwrap_err(), BatchError::Large { limit: 1000 }, "{codec:?}");
    }
}

#[test]
fn codecs_have_kafkas_names_and_numbers() {
    for codec in Codec::ALL {
        assert_eq!(Codec::parse(codec.name()), Some(codec));
        assert_eq!(Codec::from_bits(codec as i16), Ok(codec));
    }
    assert_eq!(Codec::parse("uncompressed"), Some(Codec::None));
    assert_eq!(Codec::parse("producer"), None);
    assert_eq!(Codec::from_bits(5), Err(BatchError::Codec(5)));
}
