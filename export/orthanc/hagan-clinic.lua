-- Sends every T1 series that has come whole to the node, which puts a synthetic FLAIR into its study.
--
-- Site by site the words differ by which a T1 is known: change them here. The node looks again, at every header,
-- and refuses what is no volume or looks contrast-enhanced; it ignores what it has made itself.

local WORDS = { "T1", "MPRAGE", "MP2RAGE", "BRAVO", "TFE" }

local function isT1(tags)
  if tags["Modality"] ~= "MR" or (tags["ContrastBolusAgent"] or "") ~= "" then
    return false
  end
  local names = string.upper((tags["SeriesDescription"] or "") .. " " .. (tags["ProtocolName"] or ""))
  if string.find(names, "SYNTHETIC", 1, true) then
    return false
  end
  for _, word in ipairs(WORDS) do
    if string.find(names, word, 1, true) then
      return true
    end
  end
  return false
end

function OnStableSeries(seriesId, tags, metadata)
  if isT1(tags) then
    -- A job of its own, which Orthanc lists and can run again. (SendToModality takes instances alone.)
    local job = { Resources = { seriesId }, Asynchronous = true }
    RestApiPost("/modalities/hagan/store", DumpJson(job))
  end
end
