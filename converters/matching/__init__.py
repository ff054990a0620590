"""Which stored array is whose: a layer's group in the file, then the weights in it, whatever generation wrote them."""
