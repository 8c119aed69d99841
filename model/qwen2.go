package model

// qwen2Spec reads the config of a Qwen2 or Qwen2.5: Llama's weight names, with
// biases on q_proj, k_proj and v_proj always.
func qwen2Spec(c *config) Spec {
	s := c.decoder(32)
	s.HeadDim = c.headDim(&s)
	s.QKVBias = true
	c.qwenWindows(&s)
	return s
}

// qwenWindows reads which layers of a Qwen have a sliding window: those that
// layer_types names, else those from max_window_layers on, and only with
// use_sliding_window.
func (c *config) qwenWindows(s *Spec) {
	window, none := 0, "use_sliding_window is false"
	if c.bool("use_sliding_window", false) {
		window, none = c.windowSize(), "sliding_window is null"
	}
	if c.layerWindows(s, window, none) {
		return
	}
	for i := max(0, c.int("max_window_layers", 28)); window > 0 && i < len(s.Windows); i++ {
		s.Windows[i] = window
	}
}
