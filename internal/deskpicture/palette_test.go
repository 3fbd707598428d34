package main

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"testing"
)

// TestShrinkKeepsFrequentColours: the 256 most frequent colours stay as they
// are, a rare one becomes the nearest of them.
func TestShrinkKeepsFrequentColours(t *testing.T) {
	t.Parallel()
	full := image.NewRGBA(image.Rect(0, 0, 257, 2))
	for x := range 257 {
		c := color.RGBA{R: uint8(x), A: 255}
		if x == 256 {
			c = color.RGBA{R: 9, B: 3, A: 255}
		}
		full.Set(x, 0, c)
		full.Set(x, 1, c)
	}
	full.Set(256, 0, color.RGBA{A: 255})
	var raw bytes.Buffer
	if err := png.Encode(&raw, full); err != nil {
		t.Fatal(err)
	}
	small, err := shrink(raw.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	got, err := png.Decode(bytes.NewReader(small))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := got.(*image.Paletted); !ok || got.Bounds() != full.Bounds() {
		t.Fatalf("got %T of %v", got, got.Bounds())
	}
	for x := range 256 {
		if c := color.RGBAModel.Convert(got.At(x, 1)); c != (color.RGBA{R: uint8(x), A: 255}) {
			t.Errorf("column %d became %v", x, c)
		}
	}
	if c := color.RGBAModel.Convert(got.At(256, 1)); c != (color.RGBA{R: 9, A: 255}) {
		t.Errorf("the rare colour became %v", c)
	}
}
