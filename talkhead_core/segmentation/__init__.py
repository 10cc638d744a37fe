"""Where background, torso, neck, head and hands are."""
