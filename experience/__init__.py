"""Everything between agent and environment that no framework touches: environments, replay buffers, schedules, the training loop. numpy and Gymnasium only."""
