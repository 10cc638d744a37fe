"""What a speaker's video is good for, and how it becomes the clip that every stage works on."""
