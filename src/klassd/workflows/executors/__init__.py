"""Where executions run. Each adapter sees ``ports`` and below, never the engine or another adapter."""
