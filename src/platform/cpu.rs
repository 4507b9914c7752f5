//! What the processor can do.

/// Whether AES-GCM runs on the CPU's own instructions (the AES rounds and the
/// carry-less product). Without them ChaCha20-Poly1305 is several times faster
/// and does not leak by timing, so it goes first.
#[must_use]
pub fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        std::arch::is_x86_feature_detected!("aes")
            && std::arch::is_x86_feature_detected!("pclmulqdq")
    }
    #[cfg(target_arch = "aarch64")]
    {
        std::arch::is_aarch64_feature_detected!("aes")
            && std::arch::is_aarch64_feature_detected!("pmull")
    }
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    {
        // A 32-bit system on a 64-bit ARM core has them too; std cannot tell yet.
        std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| lists_aes(&text))
    }
}

/// Whether `/proc/cpuinfo` names both instructions on a `Features` line.
#[cfg(any(
    test,
    not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64"))
))]
fn lists_aes(cpuinfo: &str) -> bool {
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.trim() == "Features")
        .any(|(_, list)| {
            let has = |wanted| list.split_ascii_whitespace().any(|flag| flag == wanted);
            has("aes") && has("pmull")
        })
}

/// Cores that this process may use (affinity and cgroup quota counted), at least 1.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Bytes of a page of memory; 0: the system does not say.
#[must_use]
pub fn page_size() -> usize {
    use nix::unistd::{sysconf, SysconfVar};
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    page.and_then(|page| usize::try_from(page).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raspberry_pi_4_is_not_taken_for_one_with_aes() {
        let pi4 = "processor\t: 0\nFeatures\t: half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm crc32\n";
        let pi5 = "processor\t: 0\nFeatures\t: half thumb neon aes pmull sha1 sha2 crc32\n";
        let half = "Features\t: neon aes sha1\n";
        assert!(!lists_aes(pi4));
        assert!(lists_aes(pi5));
        assert!(!lists_aes(half));
        assert!(!lists_aes("flags\t\t: fpu aes pmull\n"));
    }

    #[test]
    fn there_is_always_a_core() {
        assert!(cores() >= 1);
    }

    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn the_answer_is_the_kernel_s() {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let flags = info.lines().find(|l| l.starts_with("flags")).unwrap_or("");
        let has = |f: &str| flags.split_ascii_whitespace().any(|x| x == f);
        assert_eq!(has_aes(), has("aes") && has("pclmulqdq"));
    }
}
