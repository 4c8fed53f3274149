"""What a job measures at each step: packed into blocks, kept, drawn, taken away. `packing` and `curves` are pure."""
