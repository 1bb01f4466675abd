//! Which failures of a GPU no process survives.
//!
//! Pure: the words of a failure in, yes or no out. CUDA calls an error sticky when the context is lost with it: every
//! later call returns it again, whatever the program does ("Error Handling" in NVIDIA's CUDA Runtime API; the codes
//! are those of `cudaError_t` whose text says that "the process must be terminated and relaunched").

/// Codes of `cudaError_t` after which only a new process can use the GPU.
const STICKY: [u32; 13] = [
    214, // cudaErrorECCUncorrectable
    220, // cudaErrorNvlinkUncorrectable
    700, // cudaErrorIllegalAddress
    702, // cudaErrorLaunchTimeout
    709, // cudaErrorContextIsDestroyed
    710, // cudaErrorAssert
    714, // cudaErrorHardwareStackError
    715, // cudaErrorIllegalInstruction
    716, // cudaErrorMisalignedAddress
    717, // cudaErrorInvalidAddressSpace
    718, // cudaErrorInvalidPc
    719, // cudaErrorLaunchFailure
    721, // cudaErrorContained
];

/// How ONNX Runtime, CUDA and `TensorRT` introduce the code.
const BEFORE_A_CODE: [&str; 5] =
    ["cuda failure ", "cuda error ", "cuda runtime error (", "cudaerror: ", "cuda error: "];

/// Names and texts of the same errors, for where no code is given.
const WORDS: [&str; 9] = [
    "cudaerrorillegaladdress",
    "an illegal memory access was encountered",
    "cudaerrorlaunchfailure",
    "unspecified launch failure",
    "cudaerrorassert",
    "device-side assert triggered",
    "cudaerrorlaunchtimeout",
    "uncorrectable ecc error",
    "misaligned address",
];

/// Whether only a new process gets out of the failure that is told in these words.
pub fn is_fatal(words: &str) -> bool {
    let words = words.to_lowercase();
    let codes = BEFORE_A_CODE.iter().flat_map(|before| {
        words.match_indices(before).filter_map(|(at, found)| {
            let behind = &words[at + found.len()..];
            let digits = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
            behind[..digits].parse::<u32>().ok()
        })
    });
    codes.into_iter().any(|code| STICKY.contains(&code))
        || WORDS.iter().any(|text| words.contains(text))
}

#[cfg(test)]
mod tests {
    use super::is_fatal;

    #[test]
    fn an_error_that_stays_is_told_from_one_that_passes() {
        let check = |words: &str, expected: bool| assert_eq!(is_fatal(words), expected, "{words}");
        check(
            "Non-zero status code returned while running Conv node. Status Message: CUDA failure 700: an illegal \
             memory access was encountered ; GPU=0 ; hostname=orin",
            true,
        );
        check("CUDA error 719: unspecified launch failure", true);
        check("CUDA failure 719", true);
        check(
            "1: [hardwareContext.cpp::terminateCommonContext::58] Error Code 1: Cuda Runtime (misaligned address)",
            true,
        );
        check("CUDA error: device-side assert triggered", true);
        // It passes: memory is freed, a device gets ready.
        check("CUDA failure 2: out of memory ; GPU=0", false);
        check("Failed to allocate memory for requested buffer of size 700", false);
        check("CUDA failure 7000: none", false);
        check("inference failed", false);
        check("", false);
    }
}
