package model

// mistralSpec reads the config of a Mistral: a Llama without biases whose every
// layer may have a sliding window. Weight names are Llama's. A config that does
// not mention sliding_window has one of 4096; null means none. With layer_types
// (Ministral 8B) only the layers that it names have one.
func mistralSpec(c *config) Spec {
	s := c.decoder(8)
	s.HeadDim = c.headDim(&s)
	window := c.windowSize()
	if !c.layerWindows(&s, window, "sliding_window is null") {
		s.window(window)
	}
	return s
}

// windowSize reads sliding_window: 4096 unless given, 0 (none) if null.
func (c *config) windowSize() int {
	if _, given := c.fields["sliding_window"]; given && !c.has("sliding_window") {
		return 0
	}
	w := c.int("sliding_window", 4096)
	if w < 1 {
		c.fail("sliding_window is %d; it must be positive, or null for none", w)
	}
	return w
}
