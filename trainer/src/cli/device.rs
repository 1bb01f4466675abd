//! `--device`: what libtorch computes on.

use std::str::FromStr;

use tch::{Cuda, Device};

/// What the command line names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Cpu,
    Cuda(usize),
}

/// A GPU that is not there.
#[derive(Debug, thiserror::Error)]
#[error(
    "--device cuda:{index}: libtorch sees {there} CUDA devices; install a libtorch built for CUDA, or take --device cpu"
)]
pub(super) struct NoSuchDevice {
    index: usize,
    there: usize,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || "must be cpu, cuda or cuda:N".to_owned();
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", index)) => index.parse().map(Self::Cuda).map_err(|_number| known()),
            _ => Err(known()),
        }
    }
}

/// The device that is wanted; the first GPU, else the CPU, where none is named.
pub(super) fn of(wanted: Option<Wanted>) -> Result<Device, NoSuchDevice> {
    match wanted {
        None => Ok(Device::cuda_if_available()),
        Some(Wanted::Cpu) => Ok(Device::Cpu),
        Some(Wanted::Cuda(index)) => {
            let there = if Cuda::is_available() { Cuda::device_count() } else { 0 };
            let there = usize::try_from(there).unwrap_or(0);
            if index < there { Ok(Device::Cuda(index)) } else { Err(NoSuchDevice { index, there }) }
        }
    }
}
