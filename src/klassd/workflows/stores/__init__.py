"""Where runs are kept. Each adapter sees ``ports`` and below, never the engine or another adapter."""
