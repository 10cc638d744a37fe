"""Stage ``denoise``: background noise removed from the speech, where that helps."""

from __future__ import annotations

from talkhead_core.artifacts import write_json
from talkhead_core.audio.denoise import DenoiseConfig, denoise_blocks, denoise_report
from talkhead_core.audio.denoise.wav_blocks import read_wav_blocks, wav_samples, write_wav_blocks
from talkhead_core.audio.voice_activity import speech_levels
from tasks.stage import Stage, main


def run(stage: Stage) -> None:
    """Read ``extract_audio/audio.wav``, write ``audio.wav`` of the same length and ``denoise.json``."""
    config = stage.section(DenoiseConfig)
    source, target = stage.inputs("extract_audio") / "audio.wav", stage.out / "audio.wav"
    samples = wav_samples(source)
    blocks, decision, before = denoise_blocks(lambda: read_wav_blocks(source), config)
    write_wav_blocks(target, blocks)
    after = speech_levels(read_wav_blocks(target))
    write_json(stage.out / "denoise.json", denoise_report(config, decision, before, after))
    stage.progress(samples, samples, "; ".join(decision.reasons))


if __name__ == "__main__":
    main(run)
