# shellcheck shell=bash
# What scripts/packages/ipk and apk have in common; sourced by them after lib.sh.
# shellcheck disable=SC2154 # $root is lib.sh's

# openwrt_target ARCH: the build that runs there. The program is static, so only the
# processor counts: 32-bit ARM needs ARMv7 with a floating-point unit.
openwrt_target() {
    case $1 in
    aarch64_*) echo aarch64-unknown-linux-musl ;;
    arm_cortex-a*_vfp* | arm_cortex-a*_neon*) echo armv7-unknown-linux-musleabihf ;;
    x86_64) echo x86_64-unknown-linux-musl ;;
    *) return 1 ;;
    esac
}

make_openwrt_package() {
    local kind=$1 arch='' binary='' out='' version='' router='' target machine work file final epoch
    shift
    while [ $# -gt 0 ]; do
        case $1 in
        -h | --help)
            usage
            exit
            ;;
        --router)
            router=1
            shift
            ;;
        --arch | --binary | --out | --version)
            [ $# -ge 2 ] || wrong "$1 needs a value"
            case $1 in
            --arch) arch=$2 ;;
            --binary) binary=$2 ;;
            --out) out=$2 ;;
            --version) version=$2 ;;
            esac
            shift 2
            ;;
        *) wrong "\"$1\" is not understood" ;;
        esac
    done
    [ -n "$arch" ] || wrong "which router? Give --arch"
    target=$(openwrt_target "$arch") ||
        wrong "--arch $arch: there are builds for aarch64_*, arm_cortex-a* with vfp or neon in its name, and x86_64"
    case $target in
    aarch64*) machine=AArch64 ;;
    armv7*) machine=ARM ;;
    x86_64*) machine='Advanced Micro Devices X86-64' ;;
    esac
    need python3=python3 readelf=binutils zopfli=zopfli
    out=${out:-$(target_dir)/packages}
    [ -n "$version" ] || version=$(version)
    [[ $version =~ ^[0-9]+(\.[0-9]+)*$ ]] || die "--version $version: opkg and apk take numbers with dots between them here"
    epoch=$(source_date_epoch)
    if [ -z "$binary" ]; then
        binary=$("$root/scripts/cross-build" ${router:+--router} "$target" | awk -v target="$target" '$1 == target { print $2 }')
    fi
    [ -f "$binary" ] || die "--binary $binary: there is no such file"
    readelf -h "$binary" 2>/dev/null | grep -q "Machine: *$machine\$" ||
        die "--binary $binary: is no program for $arch ($machine); give another, or another --arch"
    if readelf -d "$binary" 2>/dev/null | grep -q NEEDED; then
        die "--binary $binary: loads libraries, which OpenWrt has not: build it for $target"
    fi
    mkdir -p "$out"
    work=$(mktemp -d "$out/.making.XXXXXX")
    # shellcheck disable=SC2064 # the folder of now
    trap "rm -rf '$work'" EXIT
    cp -R "$root/platform/openwrt/files" "$work/root"
    mkdir -p "$work/root/usr/bin"
    cp "$binary" "$work/root/usr/bin/chr-node"
    # Modes do not depend on the umask of who has checked out.
    find "$work/root" -type d -exec chmod 755 {} +
    find "$work/root" -type f -exec chmod 644 {} +
    chmod 755 "$work/root/usr/bin/chr-node" "$work/root/etc/init.d/chr-node"
    chmod 600 "$work/root/etc/config/chr-node"
    file=$(/usr/bin/python3 "$root/scripts/packages/openwrt.py" "$kind" --root "$work/root" --version "$version" \
        --arch "$arch" --epoch "$epoch" --out "$work") || die "the package could not be made; see above"
    # Beside the whole build for the same routers.
    final=$out/${file%."$kind"}${router:+_router}.$kind
    mv -f "$work/$file" "$final"
    printf '%s\n' "$final"
}
