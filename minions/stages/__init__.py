"""What one answer is made of: what it learned (`own`), what it looks up (`knowledge`), outside models (`outside`)."""
