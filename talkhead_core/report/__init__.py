"""Pages that show a person everything: one self-contained HTML file, video first."""
