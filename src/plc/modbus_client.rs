//! Modbus TCP for a PLC that is asked: its registers are read, and the results written into it, again and again.
//!
//! Owns connection, time limits and the pauses between two attempts. What registers mean is `map`, what follows is `post`.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpStream, time::timeout};
use tokio_modbus::{
    Slave,
    client::{Context, Reader as _, Writer as _, tcp},
};

use super::{desk::Desk, map};

/// The pause after a failure, and what it grows to.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Asks until the thread ends.
#[expect(clippy::infinite_loop, reason = "it ends with the runtime that it is dropped with")]
pub(super) async fn poll(desk: &Arc<Desk>, connect: SocketAddr, address: u16, every: Duration) {
    // An answer that comes later than this is none: there is time for another attempt before the watchdog's end.
    let answer_within = desk.options.watchdog / 2;
    let mut pause = FIRST_PAUSE;
    loop {
        let why = match timeout(answer_within, TcpStream::connect(connect)).await {
            Ok(Ok(stream)) => {
                let _as_it_is = stream.set_nodelay(true);
                let unit = desk.options.modbus.as_ref().map_or(1, |modbus| modbus.unit);
                let mut context = tcp::attach_slave(stream, Slave(unit));
                let mut rounds = 0_u64;
                loop {
                    match timeout(answer_within, once(desk, &mut context, address)).await {
                        Ok(Ok(())) => rounds += 1,
                        Ok(Err(why)) => break (rounds, why),
                        Err(_late) => break (rounds, "no answer in time".to_owned()),
                    }
                    tokio::time::sleep(every).await;
                }
            }
            Ok(Err(error)) => (0, error.to_string()),
            Err(_late) => (0, "no connection in time".to_owned()),
        };
        let (rounds, why) = why;
        desk.tell("plc-unreachable", "modbus", format!("{connect}: {why}"));
        pause = if rounds > 0 { FIRST_PAUSE } else { (pause * 2).min(PAUSE_MAX) };
        tokio::time::sleep(pause).await;
    }
}

/// One round over all cameras.
async fn once(desk: &Desk, context: &mut Context, address: u16) -> Result<(), String> {
    let order = desk.options.modbus.as_ref().map_or(map::WordOrder::Big, |modbus| modbus.order);
    for camera in 0..desk.lanes.len() {
        // Checked with the configuration: the last block ends within the address space.
        let block = u16::try_from(camera).unwrap_or(u16::MAX).saturating_mul(map::BLOCK);
        let block = address.saturating_add(block);
        let asked = desk.clock.monotonic();
        let read = context.read_holding_registers(block, map::COMMAND_WORDS).await;
        let words = read.map_err(|error| error.to_string())?;
        let words = words.map_err(|exception| format!("read registers {block}: {exception}"))?;
        let words: [u16; map::COMMAND_WORDS as usize] =
            words.try_into().map_err(|_short| "an answer of another length".to_owned())?;
        desk.command(camera, map::Commands::decode(&words, order), Some(asked));
        let status = desk.status(camera);
        let at = block.saturating_add(map::STATUS_AT);
        let wrote = context.write_multiple_registers(at, &status).await;
        let wrote = wrote.map_err(|error| error.to_string())?;
        wrote.map_err(|exception| format!("write registers {at}: {exception}"))?;
        desk.was_read(camera, status[usize::from(map::FLAGS_AT - map::STATUS_AT)]);
    }
    Ok(())
}
