"""How good enhanced speech is against its clean reference: PESQ, STOI, SI-SDR, SNRseg, WSS, LLR, CSIG/CBAK/COVL, MCD."""

from talkhead_core.metrics.speech.speech_quality import (
    COLUMNS,
    paired_files,
    speech_quality,
    speech_quality_table,
    suffixed_pairs,
    versions_beside,
)

__all__ = ["COLUMNS", "paired_files", "speech_quality", "speech_quality_table", "suffixed_pairs", "versions_beside"]
