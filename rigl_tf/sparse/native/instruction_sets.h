// For `ctypes`: the number of instruction sets, their names, and the choice.
#pragma once

#include "kernels.h"

extern "C" int RiglNumberOfSets() { return rigl::AvailableSets().size(); }
extern "C" const char* RiglNameOfSet(int index) {
  return rigl::AvailableSets()[index]->name;
}
extern "C" void RiglChooseSet(int index) {
  rigl::Current() = rigl::AvailableSets()[index];
}
