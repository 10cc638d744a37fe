"""Where a video comes from: signed credentials in its file, and an invisible mark in its pictures."""
