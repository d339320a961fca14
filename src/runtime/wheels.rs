//! Pinned wheels of the Python package index, by system, with the libraries that are taken out of them.

use super::packages::Package::{self, Cpu, Cuda, WebGpu};
use crate::error::{Error, Result};

/// A wheel of a package for one system.
pub(super) struct Wheel {
    pub(super) package: Package,
    /// As `std::env::consts` names system and processor.
    pub(super) os: &'static str,
    pub(super) arch: &'static str,
    /// As the index names them.
    pub(super) platform: &'static str,
    /// Hash of the wheel, hexadecimal.
    pub(super) sha256: &'static str,
    /// The library that is loaded, then those that it loads.
    pub(super) libraries: &'static [Pin],
}

/// A library as it was published.
pub(super) struct Pin {
    pub(super) name: &'static str,
    pub(super) bytes: u64,
    /// Hash of the library, hexadecimal.
    pub(super) blake3: &'static str,
}

/// One row per package and system that the index has a wheel for.
#[rustfmt::skip]
static WHEELS: [Wheel; 12] = [
    Wheel {
        package: Cpu,
        os: "linux",
        arch: "x86_64",
        platform: "manylinux_2_28_x86_64",
        sha256: "99e1074c4b2197accd5073052a465361be17b89c093b8ffb6e6bd8f986c52df8",
        libraries: &[
            Pin { name: "libonnxruntime.so.1.32.0", bytes: 34_824_680, blake3: "b9ca235169118134f48a14c831d0cb389470e1d98b78942aea77c99d90cf8d98" },
            Pin { name: "libonnxruntime_providers_shared.so", bytes: 14_632, blake3: "c61396275e4e951ee00535f707d7b8b8e8696da3b07d593a8d6394d3a382e9d2" },
        ],
    },
    Wheel {
        package: Cpu,
        os: "linux",
        arch: "aarch64",
        platform: "manylinux_2_28_aarch64",
        sha256: "e36c187006e7a7c8b8d6d57f1a209dd63f52430dca6c282b177718ad6b841054",
        libraries: &[
            Pin { name: "libonnxruntime.so.1.32.0", bytes: 27_165_936, blake3: "1bf4443e7de44e70b87889e91348de9052d2a0c4459c750b5134914df8fc1fff" },
            Pin { name: "libonnxruntime_providers_shared.so", bytes: 198_792, blake3: "c084bb730fcd0a25ed48560faba04623cde6dac5b66962dc470ecca07ec5db3c" },
        ],
    },
    Wheel {
        package: Cpu,
        os: "macos",
        arch: "aarch64",
        platform: "macosx_14_0_arm64",
        sha256: "d52510bbbcc880c13b826f7d75cdf33ac5cf0bb864d960000fc29ce73f0cb83e",
        libraries: &[
            Pin { name: "libonnxruntime.1.32.0.dylib", bytes: 35_272_344, blake3: "1c742eb1534e12493cc3017968a6ad957d49a06eb1b643effbd9b83e12fdf702" },
        ],
    },
    Wheel {
        package: Cpu,
        os: "windows",
        arch: "x86_64",
        platform: "win_amd64",
        sha256: "efe7456952c243a05a53d5b8732953625144642c2f3989094277f6217f0c0c40",
        libraries: &[
            Pin { name: "onnxruntime.dll", bytes: 22_668_640, blake3: "cda8eccac50f2cc3b6a0bf7110e0e46bd45048044a492918fbbc9a67b6752eb7" },
            Pin { name: "onnxruntime_providers_shared.dll", bytes: 21_816, blake3: "acd4e09662f3e0741cb52679419622942b39715f7fd2f12740e6cad52845bd81" },
        ],
    },
    Wheel {
        package: Cpu,
        os: "windows",
        arch: "aarch64",
        platform: "win_arm64",
        sha256: "64d394c69d561af3efd4d4f49dcac8f11d0ce135a20701c16d53b74056cd4cf8",
        libraries: &[
            Pin { name: "onnxruntime.dll", bytes: 20_798_776, blake3: "a0558ccc9c92a825716189e480afaf88e8570d4f192d3b3426718cf59d7e9753" },
            Pin { name: "onnxruntime_providers_shared.dll", bytes: 21_304, blake3: "ba4d31998132ed5f034e1661429607d741f0cad7b0bf9fc87167284d0fc64c41" },
        ],
    },
    Wheel {
        package: Cuda,
        os: "linux",
        arch: "x86_64",
        platform: "manylinux_2_28_x86_64",
        sha256: "05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7",
        libraries: &[
            Pin { name: "libonnxruntime.so.1.31.1", bytes: 29_421_832, blake3: "b6b4433a5b49a4bc56ac8889b9dc887df947faacf40db82a0ed419e9a5bf94bf" },
            Pin { name: "libonnxruntime_providers_cuda.so", bytes: 284_014_752, blake3: "8d7912e48631c586bd999ff5e647868df8579fd6b5a7ee13bfc3f142010e6f18" },
            Pin { name: "libonnxruntime_providers_shared.so", bytes: 14_632, blake3: "e575eac21c52ff35f67d0179df4f76f0a953638a3448b982cf106112501df6b3" },
            Pin { name: "libonnxruntime_providers_tensorrt.so", bytes: 994_968, blake3: "9059f341e33a1e419b23dea3fa64cb5807655ed695091ae6377ae398a4537cdb" },
        ],
    },
    Wheel {
        package: Cuda,
        os: "windows",
        arch: "x86_64",
        platform: "win_amd64",
        sha256: "2bb1e9373baba88f6415257f5b6a589d23e23c16004f7d89adf4344eada5749e",
        libraries: &[
            Pin { name: "onnxruntime.dll", bytes: 18_881_336, blake3: "32a9e6142df33ff7b032e5eb574a705db0da4e156deebb2def46113a4f2da1bb" },
            Pin { name: "onnxruntime_providers_cuda.dll", bytes: 194_399_072, blake3: "8b8c6bcc24f8a90536cb2a5ec9d4e8c859ec222110df9507be72d4e75797ec76" },
            Pin { name: "onnxruntime_providers_shared.dll", bytes: 21_816, blake3: "a807ae9498e38ed288b54adf220e28f5762d937e9fec75fa9d14d996b26b6bc8" },
            Pin { name: "onnxruntime_providers_tensorrt.dll", bytes: 912_184, blake3: "fb1c0f6152748a0a8fe624aee4687ddc73dd82784192517cbbe43a9eebf67e65" },
        ],
    },
    Wheel {
        package: WebGpu,
        os: "linux",
        arch: "x86_64",
        platform: "manylinux_2_28_x86_64",
        sha256: "5d8c961eda91a88961cad1fb7621f389f006b18497d6ea9ecf96f729f066cbfb",
        libraries: &[
            Pin { name: "libonnxruntime_providers_webgpu.so", bytes: 16_450_888, blake3: "d29f23eec27bb8f6a3bafee2e43edf48923ed0880918f80ceb33125c580d1597" },
        ],
    },
    Wheel {
        package: WebGpu,
        os: "linux",
        arch: "aarch64",
        platform: "manylinux_2_28_aarch64",
        sha256: "17f660db53b1a509c63e721ac6784a2daa1c4e91a968523ee9986505ee5b0a55",
        libraries: &[
            Pin { name: "libonnxruntime_providers_webgpu.so", bytes: 13_862_448, blake3: "7857ce938364fd0cc2b54adb9e23b7fa3b811d397402aba5b69dd8963c45ee57" },
        ],
    },
    Wheel {
        package: WebGpu,
        os: "macos",
        arch: "aarch64",
        platform: "macosx_14_0_universal2",
        sha256: "8d0a91d44b43d931c3068b9134aed9770f27803e353c2b58c93e1700bb68bcca",
        libraries: &[
            Pin { name: "libonnxruntime_providers_webgpu.dylib", bytes: 14_966_224, blake3: "25587507ed90f8012c84167cc9e09c1b4c773eaf7b8080aee2778013d7d6fee1" },
        ],
    },
    Wheel {
        package: WebGpu,
        os: "windows",
        arch: "x86_64",
        platform: "win_amd64",
        sha256: "7db646669d1a2390551da675115ea125e68cb3d4d2c3a2d6e463372bf8d6ea87",
        libraries: &[
            Pin { name: "onnxruntime_providers_webgpu.dll", bytes: 10_954_080, blake3: "311b350e634f84f07aaadd3fc5d2564d3c3182c6f844056678779f66c41ba81a" },
            Pin { name: "dxcompiler.dll", bytes: 17_986_360, blake3: "0e0d2f16bb4a1b1c1641100af10a9db131bca631301616d24579bb9ae6f2303d" },
            Pin { name: "dxil.dll", bytes: 1_508_704, blake3: "8d94739583dcdd382d3dcfa9f76a7efaa26b57e5423350a39d59746b10e453ba" },
        ],
    },
    Wheel {
        package: WebGpu,
        os: "windows",
        arch: "aarch64",
        platform: "win_arm64",
        sha256: "a9586f6744370776059edd794c11bca2f563258a5bd2707864aefff31d3af39f",
        libraries: &[
            Pin { name: "onnxruntime_providers_webgpu.dll", bytes: 11_279_672, blake3: "363c0cba624ea69b071b0b1b6362fabd9fea721caebf6644205051098569bc29" },
            Pin { name: "dxcompiler.dll", bytes: 22_285_624, blake3: "7f192d04bf785d689e54b12223531386d2776d3059c4aa9d78aaf9fb874631e1" },
            Pin { name: "dxil.dll", bytes: 1_769_784, blake3: "de5e35b41b374cda5cdc001d4027f76b67440698eae15a66e37fe7a47ca193fe" },
        ],
    },
];

/// The wheel of a package for this system, if the index has one.
pub(super) fn published(package: Package) -> Option<&'static Wheel> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let fits = |wheel: &&Wheel| wheel.package == package && wheel.os == os && wheel.arch == arch;
    WHEELS.iter().find(fits)
}

/// As [`published`].
///
/// # Errors
/// There is none.
pub(super) fn wheel_for(package: Package) -> Result<&'static Wheel> {
    published(package).ok_or_else(|| Error::Runtime {
        reason: format!(
            "there is no prebuilt {} for {} on {}",
            package.requirement().0,
            std::env::consts::OS,
            std::env::consts::ARCH
        ),
        remedy: "build it and name the library with `library` or `provider` plugin:LIBRARY"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_whole() {
        let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        for wheel in &WHEELS {
            assert!(is_hash(wheel.sha256), "{}", wheel.platform);
            assert!(!wheel.libraries.is_empty(), "{}", wheel.platform);
            for pin in wheel.libraries {
                assert!(is_hash(pin.blake3) && pin.bytes > 0, "{}", pin.name);
                let plain = |c: char| c.is_ascii_alphanumeric() || "._".contains(c);
                assert!(pin.name.chars().all(plain), "{}", pin.name);
            }
            let row = |other: &&Wheel| {
                (other.package, other.os, other.arch) == (wheel.package, wheel.os, wheel.arch)
            };
            assert_eq!(WHEELS.iter().filter(row).count(), 1, "{}", wheel.platform);
            let versioned = wheel.libraries[0].name.contains("1.");
            let version = wheel.package.requirement().1;
            assert!(!versioned || wheel.libraries[0].name.contains(version));
        }
    }
}
