# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_sightline_global_optspecs
    string join \n onnxruntime= log= h/help V/version
end

function __fish_sightline_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_sightline_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_sightline_using_subcommand
    set -l cmd (__fish_sightline_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c sightline -n "__fish_sightline_needs_command" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_needs_command" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_needs_command" -s h -l help -d 'Print help'
complete -c sightline -n "__fish_sightline_needs_command" -s V -l version -d 'Print version'
complete -c sightline -n "__fish_sightline_needs_command" -f -a "run" -d 'Judge what the cameras of a configuration see; without one, play the demo line'
complete -c sightline -n "__fish_sightline_needs_command" -f -a "capture" -d 'Record good parts through a camera\'s own pipeline into a training folder'
complete -c sightline -n "__fish_sightline_needs_command" -f -a "calibrate" -d 'Measure good parts of a product, and write the calibration that verdicts rest on'
complete -c sightline -n "__fish_sightline_needs_command" -f -a "inspect" -d 'Judge images and folders, without a camera'
complete -c sightline -n "__fish_sightline_needs_command" -f -a "check" -d 'Say whether a configuration, its model and its pipelines hold together'
complete -c sightline -n "__fish_sightline_needs_command" -f -a "prepare" -d 'Build and verify the engine of a configuration, before its line is started'
complete -c sightline -n "__fish_sightline_needs_command" -f -a "doctor" -d 'Say what this machine has of what an inspector needs, and what to do about the rest'
complete -c sightline -n "__fish_sightline_needs_command" -f -a "bench" -d 'Measure what this machine makes of a model'
complete -c sightline -n "__fish_sightline_needs_command" -f -a "ledger" -d 'Look at what became of every frame'
complete -c sightline -n "__fish_sightline_needs_command" -f -a "user" -d 'Say who may come in, and as what'
complete -c sightline -n "__fish_sightline_needs_command" -f -a "model" -d 'Look at a model file'
complete -c sightline -n "__fish_sightline_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sightline -n "__fish_sightline_using_subcommand run" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand run" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand run" -l loop -d 'Files start again at their end, until the process is stopped'
complete -c sightline -n "__fish_sightline_using_subcommand run" -l fast -d 'Files play as fast as they can be judged'
complete -c sightline -n "__fish_sightline_using_subcommand run" -s h -l help -d 'Print help'
complete -c sightline -n "__fish_sightline_using_subcommand capture" -l camera -d 'Which of its cameras; the first by default' -r
complete -c sightline -n "__fish_sightline_using_subcommand capture" -l preset -d 'Uses a preset, without a configuration file' -r
complete -c sightline -n "__fish_sightline_using_subcommand capture" -l set -d 'A parameter of that preset, such as location=parts.webm' -r
complete -c sightline -n "__fish_sightline_using_subcommand capture" -l product -d 'The product that passes the camera' -r
complete -c sightline -n "__fish_sightline_using_subcommand capture" -l into -d 'The training folder' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand capture" -l size -d 'Lets the pipeline scale frames, to the size that the model will take; the camera\'s own size by default' -r
complete -c sightline -n "__fish_sightline_using_subcommand capture" -l count -d 'Frames to keep; all of them by default' -r
complete -c sightline -n "__fish_sightline_using_subcommand capture" -l after -d 'Frames to let pass before the first one that is kept' -r
complete -c sightline -n "__fish_sightline_using_subcommand capture" -l every -d 'Keeps one frame of so many' -r
complete -c sightline -n "__fish_sightline_using_subcommand capture" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand capture" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand capture" -l fast -d 'Files play as fast as they can be written'
complete -c sightline -n "__fish_sightline_using_subcommand capture" -s h -l help -d 'Print help'
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and not __fish_seen_subcommand_from exclude show help" -l product -d 'The product that passes the camera; only good parts of it may' -r
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and not __fish_seen_subcommand_from exclude show help" -l camera -d 'Which of the configuration\'s cameras; the first by default' -r
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and not __fish_seen_subcommand_from exclude show help" -l images -d 'Measures images and folders of good parts, as `capture` records them, instead of playing the camera' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and not __fish_seen_subcommand_from exclude show help" -l count -d 'Good parts to collect; as many as the configured false-reject rate needs, or all images, by default' -r
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and not __fish_seen_subcommand_from exclude show help" -l every -d 'Takes one frame of so many, so that each is another part' -r
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and not __fish_seen_subcommand_from exclude show help" -l after -d 'Frames to let pass before the first one that is taken' -r
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and not __fish_seen_subcommand_from exclude show help" -l into -d 'The calibration file; the configuration\'s, or the one beside the model, by default' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and not __fish_seen_subcommand_from exclude show help" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and not __fish_seen_subcommand_from exclude show help" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and not __fish_seen_subcommand_from exclude show help" -l append -d 'Adds to the product\'s calibration in the file, instead of taking its place'
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and not __fish_seen_subcommand_from exclude show help" -l keep-partial -d 'Writes what there is when the camera ends or the command is stopped before all are collected'
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and not __fish_seen_subcommand_from exclude show help" -l allow-unrated -d 'Writes a calibration that is too small for the configured false-reject rate'
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and not __fish_seen_subcommand_from exclude show help" -l fast -d 'Files play as fast as they can be measured'
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and not __fish_seen_subcommand_from exclude show help" -s h -l help -d 'Print help'
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and not __fish_seen_subcommand_from exclude show help" -a "exclude" -d 'Take frames that a person has looked at out of a calibration; their number stays in it'
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and not __fish_seen_subcommand_from exclude show help" -a "show" -d 'Say what is in a calibration file, and which rates it supports'
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and not __fish_seen_subcommand_from exclude show help" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and __fish_seen_subcommand_from exclude" -l product -d 'The product' -r
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and __fish_seen_subcommand_from exclude" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and __fish_seen_subcommand_from exclude" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and __fish_seen_subcommand_from exclude" -s h -l help -d 'Print help'
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and __fish_seen_subcommand_from show" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and __fish_seen_subcommand_from show" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and __fish_seen_subcommand_from help" -f -a "exclude" -d 'Take frames that a person has looked at out of a calibration; their number stays in it'
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and __fish_seen_subcommand_from help" -f -a "show" -d 'Say what is in a calibration file, and which rates it supports'
complete -c sightline -n "__fish_sightline_using_subcommand calibrate; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sightline -n "__fish_sightline_using_subcommand inspect" -l model -d 'The model file' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand inspect" -l calibration -d 'A calibration file that overrides the model\'s own' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand inspect" -l overlay -d 'Draws every frame beside its heat map into this folder' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand inspect" -l reject-rate -d 'The share of good parts that may be refused' -r
complete -c sightline -n "__fish_sightline_using_subcommand inspect" -l threads -d 'Threads within an operation of the network; one per core by default' -r
complete -c sightline -n "__fish_sightline_using_subcommand inspect" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand inspect" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand inspect" -l json -d 'One JSON object per image (docs/verdict-lines.md) instead of a table'
complete -c sightline -n "__fish_sightline_using_subcommand inspect" -l fail-on-reject -d 'Ends with exit code 1 when any image does not pass'
complete -c sightline -n "__fish_sightline_using_subcommand inspect" -l allow-unrated -d 'Goes on, and marks the verdicts, when the calibration is too small for the rate'
complete -c sightline -n "__fish_sightline_using_subcommand inspect" -s h -l help -d 'Print help'
complete -c sightline -n "__fish_sightline_using_subcommand check" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand check" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand check" -l play -d 'Also plays each camera until its first frame'
complete -c sightline -n "__fish_sightline_using_subcommand check" -s h -l help -d 'Print help'
complete -c sightline -n "__fish_sightline_using_subcommand prepare" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand prepare" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand prepare" -s h -l help -d 'Print help'
complete -c sightline -n "__fish_sightline_using_subcommand doctor" -l user -d 'The user that the service runs as; without one, whoever asks' -r
complete -c sightline -n "__fish_sightline_using_subcommand doctor" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand doctor" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand doctor" -l json -d 'One JSON object instead of a table (docs/doctor.md)'
complete -c sightline -n "__fish_sightline_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c sightline -n "__fish_sightline_using_subcommand bench" -l model -d 'Measures this model file instead of a configuration\'s' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand bench" -l only -d 'Measures only these parts' -r -f -a "memory\t'Resident memory while frames go by'
pipeline\t'ONNX Runtime alone against the whole station'
own\t'Processor time of our own code for each frame'
video\t'A 1080p30 H.264 video to verdicts'
cameras\t'1, 2, 4 and 8 cameras'
paused\t'A paused camera'"
complete -c sightline -n "__fish_sightline_using_subcommand bench" -l rounds -d 'How often what is compared is alternated' -r
complete -c sightline -n "__fish_sightline_using_subcommand bench" -l frames -d 'Frames of a round' -r
complete -c sightline -n "__fish_sightline_using_subcommand bench" -l memory-frames -d 'Frames that go by while memory is watched' -r
complete -c sightline -n "__fish_sightline_using_subcommand bench" -l seconds -d 'How long video, cameras and pause are played, each' -r
complete -c sightline -n "__fish_sightline_using_subcommand bench" -l camera-rate -d 'Frames per second of each of the cameras that play at once' -r
complete -c sightline -n "__fish_sightline_using_subcommand bench" -l threads -d 'ONNX Runtime\'s threads; more than one per core slows it down' -r
complete -c sightline -n "__fish_sightline_using_subcommand bench" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand bench" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand bench" -l quick -d 'A few frames of everything: whether it works, not how fast'
complete -c sightline -n "__fish_sightline_using_subcommand bench" -l json -d 'One JSON object instead of tables'
complete -c sightline -n "__fish_sightline_using_subcommand bench" -l markdown -d 'Tables of Markdown'
complete -c sightline -n "__fish_sightline_using_subcommand bench" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and not __fish_seen_subcommand_from verify export stats events help" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and not __fish_seen_subcommand_from verify export stats events help" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and not __fish_seen_subcommand_from verify export stats events help" -s h -l help -d 'Print help'
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and not __fish_seen_subcommand_from verify export stats events help" -f -a "verify" -d 'Count every numbering: each frame must have exactly one disposition'
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and not __fish_seen_subcommand_from verify export stats events help" -f -a "export" -d 'Write every row as CSV or JSON lines, or the kept pictures'
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and not __fish_seen_subcommand_from verify export stats events help" -f -a "stats" -d 'Say how the parts went, by camera and product'
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and not __fish_seen_subcommand_from verify export stats events help" -f -a "events" -d 'List what happened beside the frames, the newest first'
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and not __fish_seen_subcommand_from verify export stats events help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from verify" -l archive -d 'The archive, whose pictures are held against their rows; the folder archive beside the ledger, where there is one, when left out' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from verify" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from verify" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help'
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from export" -l camera -d 'Of this camera' -r
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from export" -l since -d 'Captured at this time or later, such as 2026-11-25T06:00:00Z' -r
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from export" -l until -d 'Captured before this time' -r
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from export" -l rows -d 'What a row is' -r -f -a "frames\t'A frame, or a run of frames without verdict'
parts\t'A part of several frames'
triggers\t'A part that a PLC announced'"
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from export" -l format -d 'How rows are written' -r -f -a "csv\t'A header and comma-separated values; what is absent is empty'
json\t'A JSON object a line; what is absent is null'"
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from export" -l out -d 'Where they are written; standard output when left out' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from export" -l as -d 'What the pictures become' -r -f -a "zip\t'A zip file with a manifest'
mvtec\t'A folder in the layout of MVTec AD, which `sightline-train` reads'"
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from export" -l archive -d 'The archive; the folder archive beside the ledger when left out' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from export" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from export" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from export" -l evidence -d 'Pictures instead of rows'
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from stats" -l camera -d 'Of this camera' -r
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from stats" -l since -d 'Captured at this time or later, such as 2026-11-25T06:00:00Z' -r
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from stats" -l until -d 'Captured before this time' -r
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from stats" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from stats" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from stats" -s h -l help -d 'Print help'
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from events" -l most -d 'At most so many' -r
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from events" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from events" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from events" -s h -l help -d 'Print help'
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from help" -f -a "verify" -d 'Count every numbering: each frame must have exactly one disposition'
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from help" -f -a "export" -d 'Write every row as CSV or JSON lines, or the kept pictures'
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from help" -f -a "stats" -d 'Say how the parts went, by camera and product'
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from help" -f -a "events" -d 'List what happened beside the frames, the newest first'
complete -c sightline -n "__fish_sightline_using_subcommand ledger; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sightline -n "__fish_sightline_using_subcommand user; and not __fish_seen_subcommand_from add token list remove help" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand user; and not __fish_seen_subcommand_from add token list remove help" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand user; and not __fish_seen_subcommand_from add token list remove help" -s h -l help -d 'Print help'
complete -c sightline -n "__fish_sightline_using_subcommand user; and not __fish_seen_subcommand_from add token list remove help" -f -a "add" -d 'Add somebody with a password, which is asked for, or is the first line of standard input'
complete -c sightline -n "__fish_sightline_using_subcommand user; and not __fish_seen_subcommand_from add token list remove help" -f -a "token" -d 'Add a machine; its token is shown once'
complete -c sightline -n "__fish_sightline_using_subcommand user; and not __fish_seen_subcommand_from add token list remove help" -f -a "list" -d 'Show everybody'
complete -c sightline -n "__fish_sightline_using_subcommand user; and not __fish_seen_subcommand_from add token list remove help" -f -a "remove" -d 'Take a user or a token out'
complete -c sightline -n "__fish_sightline_using_subcommand user; and not __fish_seen_subcommand_from add token list remove help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from add" -l role -d 'What may be done: viewer, operator or engineer' -r
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from add" -l file -d 'The users file, which http.users names' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from add" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from add" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from token" -l role -d 'What may be done: viewer, operator or engineer' -r
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from token" -l file -d 'The users file, which http.users names' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from token" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from token" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from token" -s h -l help -d 'Print help'
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from list" -l file -d 'The users file, which http.users names' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from list" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from list" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from remove" -l file -d 'The users file, which http.users names' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from remove" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from remove" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from help" -f -a "add" -d 'Add somebody with a password, which is asked for, or is the first line of standard input'
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from help" -f -a "token" -d 'Add a machine; its token is shown once'
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from help" -f -a "list" -d 'Show everybody'
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Take a user or a token out'
complete -c sightline -n "__fish_sightline_using_subcommand user; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sightline -n "__fish_sightline_using_subcommand model; and not __fish_seen_subcommand_from show verify help" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand model; and not __fish_seen_subcommand_from show verify help" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand model; and not __fish_seen_subcommand_from show verify help" -s h -l help -d 'Print help'
complete -c sightline -n "__fish_sightline_using_subcommand model; and not __fish_seen_subcommand_from show verify help" -f -a "show" -d 'Show the metadata: products, calibration, geometry, golden frames. Needs no ONNX Runtime'
complete -c sightline -n "__fish_sightline_using_subcommand model; and not __fish_seen_subcommand_from show verify help" -f -a "verify" -d 'Run the golden frames on this machine and compare'
complete -c sightline -n "__fish_sightline_using_subcommand model; and not __fish_seen_subcommand_from show verify help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sightline -n "__fish_sightline_using_subcommand model; and __fish_seen_subcommand_from show" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand model; and __fish_seen_subcommand_from show" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand model; and __fish_seen_subcommand_from show" -l json -d 'The whole metadata document as JSON, with calibration and golden frames'
complete -c sightline -n "__fish_sightline_using_subcommand model; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c sightline -n "__fish_sightline_using_subcommand model; and __fish_seen_subcommand_from verify" -l onnxruntime -d 'ONNX Runtime\'s shared library, or the folder that holds it' -r -F
complete -c sightline -n "__fish_sightline_using_subcommand model; and __fish_seen_subcommand_from verify" -l log -d 'What to log to standard error: a level (error, warn, info, debug, trace) or a filter of tracing' -r
complete -c sightline -n "__fish_sightline_using_subcommand model; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help'
complete -c sightline -n "__fish_sightline_using_subcommand model; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show the metadata: products, calibration, geometry, golden frames. Needs no ONNX Runtime'
complete -c sightline -n "__fish_sightline_using_subcommand model; and __fish_seen_subcommand_from help" -f -a "verify" -d 'Run the golden frames on this machine and compare'
complete -c sightline -n "__fish_sightline_using_subcommand model; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sightline -n "__fish_sightline_using_subcommand help; and not __fish_seen_subcommand_from run capture calibrate inspect check prepare doctor bench ledger user model help" -f -a "run" -d 'Judge what the cameras of a configuration see; without one, play the demo line'
complete -c sightline -n "__fish_sightline_using_subcommand help; and not __fish_seen_subcommand_from run capture calibrate inspect check prepare doctor bench ledger user model help" -f -a "capture" -d 'Record good parts through a camera\'s own pipeline into a training folder'
complete -c sightline -n "__fish_sightline_using_subcommand help; and not __fish_seen_subcommand_from run capture calibrate inspect check prepare doctor bench ledger user model help" -f -a "calibrate" -d 'Measure good parts of a product, and write the calibration that verdicts rest on'
complete -c sightline -n "__fish_sightline_using_subcommand help; and not __fish_seen_subcommand_from run capture calibrate inspect check prepare doctor bench ledger user model help" -f -a "inspect" -d 'Judge images and folders, without a camera'
complete -c sightline -n "__fish_sightline_using_subcommand help; and not __fish_seen_subcommand_from run capture calibrate inspect check prepare doctor bench ledger user model help" -f -a "check" -d 'Say whether a configuration, its model and its pipelines hold together'
complete -c sightline -n "__fish_sightline_using_subcommand help; and not __fish_seen_subcommand_from run capture calibrate inspect check prepare doctor bench ledger user model help" -f -a "prepare" -d 'Build and verify the engine of a configuration, before its line is started'
complete -c sightline -n "__fish_sightline_using_subcommand help; and not __fish_seen_subcommand_from run capture calibrate inspect check prepare doctor bench ledger user model help" -f -a "doctor" -d 'Say what this machine has of what an inspector needs, and what to do about the rest'
complete -c sightline -n "__fish_sightline_using_subcommand help; and not __fish_seen_subcommand_from run capture calibrate inspect check prepare doctor bench ledger user model help" -f -a "bench" -d 'Measure what this machine makes of a model'
complete -c sightline -n "__fish_sightline_using_subcommand help; and not __fish_seen_subcommand_from run capture calibrate inspect check prepare doctor bench ledger user model help" -f -a "ledger" -d 'Look at what became of every frame'
complete -c sightline -n "__fish_sightline_using_subcommand help; and not __fish_seen_subcommand_from run capture calibrate inspect check prepare doctor bench ledger user model help" -f -a "user" -d 'Say who may come in, and as what'
complete -c sightline -n "__fish_sightline_using_subcommand help; and not __fish_seen_subcommand_from run capture calibrate inspect check prepare doctor bench ledger user model help" -f -a "model" -d 'Look at a model file'
complete -c sightline -n "__fish_sightline_using_subcommand help; and not __fish_seen_subcommand_from run capture calibrate inspect check prepare doctor bench ledger user model help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sightline -n "__fish_sightline_using_subcommand help; and __fish_seen_subcommand_from calibrate" -f -a "exclude" -d 'Take frames that a person has looked at out of a calibration; their number stays in it'
complete -c sightline -n "__fish_sightline_using_subcommand help; and __fish_seen_subcommand_from calibrate" -f -a "show" -d 'Say what is in a calibration file, and which rates it supports'
complete -c sightline -n "__fish_sightline_using_subcommand help; and __fish_seen_subcommand_from ledger" -f -a "verify" -d 'Count every numbering: each frame must have exactly one disposition'
complete -c sightline -n "__fish_sightline_using_subcommand help; and __fish_seen_subcommand_from ledger" -f -a "export" -d 'Write every row as CSV or JSON lines, or the kept pictures'
complete -c sightline -n "__fish_sightline_using_subcommand help; and __fish_seen_subcommand_from ledger" -f -a "stats" -d 'Say how the parts went, by camera and product'
complete -c sightline -n "__fish_sightline_using_subcommand help; and __fish_seen_subcommand_from ledger" -f -a "events" -d 'List what happened beside the frames, the newest first'
complete -c sightline -n "__fish_sightline_using_subcommand help; and __fish_seen_subcommand_from user" -f -a "add" -d 'Add somebody with a password, which is asked for, or is the first line of standard input'
complete -c sightline -n "__fish_sightline_using_subcommand help; and __fish_seen_subcommand_from user" -f -a "token" -d 'Add a machine; its token is shown once'
complete -c sightline -n "__fish_sightline_using_subcommand help; and __fish_seen_subcommand_from user" -f -a "list" -d 'Show everybody'
complete -c sightline -n "__fish_sightline_using_subcommand help; and __fish_seen_subcommand_from user" -f -a "remove" -d 'Take a user or a token out'
complete -c sightline -n "__fish_sightline_using_subcommand help; and __fish_seen_subcommand_from model" -f -a "show" -d 'Show the metadata: products, calibration, geometry, golden frames. Needs no ONNX Runtime'
complete -c sightline -n "__fish_sightline_using_subcommand help; and __fish_seen_subcommand_from model" -f -a "verify" -d 'Run the golden frames on this machine and compare'
