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
	window := 0
	if c.bool("use_sliding_window", false) {
		window = c.windowSize()
	}
	var types []string
	if c.get("layer_types", &types, "a list of strings") {
		if len(types) != s.Layers {
			c.fail("layer_types has %d entries for %d layers", len(types), s.Layers)
			return
		}
		for i, t := range types {
			switch t {
			case "full_attention":
			case "sliding_attention":
				if window == 0 {
					c.fail("layer_types[%d] is %q, but use_sliding_window is false", i, t)
				}
				s.Windows[i] = window
			default:
				c.refuse("layer_types", t, "full_attention, sliding_attention")
			}
		}
		return
	}
	for i := max(0, c.int("max_window_layers", 28)); window > 0 && i < len(s.Windows); i++ {
		s.Windows[i] = window
	}
}
