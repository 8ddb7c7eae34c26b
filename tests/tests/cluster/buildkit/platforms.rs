//! Several platforms, with and without steps that only emulation could run.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use imagefactory_core::step::buildkit::EXIT_NO_EMULATION;
use serde_json::json;

use super::layout::Layout;
use super::pod::{Builder, Order};

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn two_platforms_make_one_index_and_need_no_emulation_where_nothing_foreign_runs() {
    let builder = Builder::create();
    let order = Order {
        dockerfile: "FROM --platform=$BUILDPLATFORM debian:bookworm-slim AS made\nARG TARGETARCH\n\
                     RUN mkdir /out && touch /out/$TARGETARCH\nFROM scratch\nCOPY --from=made /out /\nCOPY tree /tree\n",
        step: json!({"platforms": ["linux/amd64", "linux/arm64"]}),
        ..Order::default()
    };
    let built = builder.build("index", &order).await;
    assert_eq!(built.codes, [0], "{:?}", built.logs);
    let layout = Layout::read(&built.found);
    let images = layout.images();
    assert_eq!(images.keys().collect::<Vec<_>>(), ["linux/amd64", "linux/arm64"]);
    for (platform, image) in &images {
        let architecture = platform.strip_prefix("linux/").unwrap();
        assert_eq!(image.config["architecture"], architecture);
        assert!(image.file(architecture).is_some(), "{:?}", image.files);
        assert!(image.file("tree/one").is_some(), "{:?}", image.files);
    }
}

/// Machine number of arm64.
pub const AARCH64: u16 = 183;

/// A program of 132 bytes that ends: the smallest that Linux takes for this machine number, in little endian. What it says
/// is arm64's.
pub fn program(machine: u16) -> Vec<u8> {
    let start = 0x0040_0000_u64;
    let length = 132_u64;
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
    bytes.extend(machine.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend([start + 120, 64, 0].into_iter().flat_map(u64::to_le_bytes));
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend([64_u16, 56, 1, 0, 0, 0].into_iter().flat_map(u16::to_le_bytes));
    bytes.extend([1_u32, 5].into_iter().flat_map(u32::to_le_bytes));
    bytes.extend(
        [0, start, start, length, length, 0x1000]
            .into_iter()
            .flat_map(u64::to_le_bytes),
    );
    // mov x0, #0; mov x8, #93; svc #0
    bytes.extend(
        [0xd280_0000_u32, 0xd280_0ba8, 0xd400_0001]
            .into_iter()
            .flat_map(u32::to_le_bytes),
    );
    bytes
}

#[tokio::test]
#[ignore = "needs the cluster of `make cluster`"]
async fn a_step_of_a_platform_that_the_node_cannot_run_ends_with_a_code_and_a_message_of_its_own() {
    let builder = Builder::create();
    // One that hardly any node of the tests is, or has emulation for.
    let (platform, machine) = ("linux/riscv64", 243);
    let program = BASE64_STANDARD.encode(program(machine));
    let dockerfile = format!(
        "FROM --platform=$BUILDPLATFORM debian:bookworm-slim AS made\n\
         RUN echo {program} | base64 -d > /program && chmod 755 /program\n\
         FROM scratch\nCOPY --from=made /program /program\nRUN [\"/program\"]\n"
    );
    let order = Order {
        dockerfile: &dockerfile,
        step: json!({"platforms": [platform]}),
        ..Order::default()
    };
    let built = builder.build("foreign", &order).await;
    assert_eq!(built.codes, [i64::from(EXIT_NO_EMULATION)], "{:?}", built.logs);
    let last = built.logs[0].trim_end().lines().next_back().unwrap();
    assert!(last.contains("no emulation for linux/riscv64 on this node"), "{last}");
}
